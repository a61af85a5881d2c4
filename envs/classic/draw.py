"""How the classic control tasks look."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from envs.engine.canvas import Canvas

PAPER, GROUND, INK, MUTED = (247, 246, 242), (226, 223, 214), (43, 45, 51), (148, 150, 156)
BLUE, ORANGE, GREEN, RED = (62, 116, 186), (222, 125, 60), (96, 158, 96), (200, 76, 76)


def _caption(canvas: "Canvas", state: Any, color: tuple[int, int, int] = MUTED) -> None:
    canvas.caption(f"step {int(state.tick)}   return {float(state.returns[0]):.4g}", color)


def draw_cartpole(canvas: "Canvas", state: Any, params: Any, tables: Any) -> None:
    """The cart on its track between the limits, the pole, and the push."""
    limit, length = float(params.x_threshold), float(params.length) * 2
    x, theta = float(state.x), float(state.theta)
    canvas.fill(PAPER)
    canvas.view(-limit - 0.4, -0.75, limit + 0.4, 3 - 0.75 + 0.7333)
    canvas.rectangle((-9, -0.13), (9, -2), GROUND)
    canvas.line((-9, -0.13), (9, -0.13), MUTED, 0.02)
    for side in (-limit, limit):
        canvas.line((side, -0.13), (side, -0.35), RED, 0.04)
    for mark in np.arange(-2, 3):
        canvas.line((float(mark), -0.13), (float(mark), -0.2), MUTED, 0.015)
    pivot = (x, 0.22)
    canvas.line(pivot, (x, pivot[1] + length * 1.02), GROUND, 0.012)
    for wheel in (-0.17, 0.17):
        canvas.circle((x + wheel, -0.06), 0.07, INK)
    canvas.rectangle((x - 0.3, -0.02), (x + 0.3, 0.22), INK, radius=0.05)
    tip = (x + length * math.sin(theta), pivot[1] + length * math.cos(theta))
    canvas.line(pivot, tip, ORANGE, 0.085)
    canvas.circle(pivot, 0.055, BLUE)
    if state.tick > 0:
        way = 1 if state.action[0] == 1 else -1
        canvas.arrow((x + way * 0.36, 0.1), (x + way * 0.78, 0.1), BLUE, 0.05)
    _caption(canvas, state)


def _height(position: float) -> float:
    return math.sin(3 * position) * 0.45 + 0.55


def draw_mountain_car(canvas: "Canvas", state: Any, params: Any, tables: Any) -> None:
    """The valley, the flag on the goal and the car."""
    canvas.fill((231, 239, 245))
    canvas.view(-1.2, -0.02, 0.6, 1.18)
    slope = [(float(p), _height(float(p))) for p in np.linspace(-1.22, 0.62, 140)]
    canvas.polygon([(-1.22, -0.1), *slope, (0.62, -0.1)], (139, 166, 122))
    canvas.lines(slope, (101, 130, 88), 0.009)
    goal = float(params.goal_position)
    foot = _height(goal)
    canvas.line((goal, foot), (goal, foot + 0.14), INK, 0.008)
    canvas.polygon([(goal, foot + 0.14), (goal, foot + 0.08), (goal + 0.07, foot + 0.11)], RED)
    position = float(state.position)
    tilt = math.atan(3 * math.cos(3 * position) * 0.45)
    _car(canvas, position, _height(position), tilt)
    throttle = float(np.ravel(state.action)[0]) - (1.0 if np.issubdtype(state.action.dtype, np.integer) else 0.0)
    if state.tick > 0 and abs(throttle) > 0.05:
        along = np.array([math.cos(tilt), math.sin(tilt)]) * math.copysign(1, throttle)
        start = np.array([position, _height(position) + 0.15])
        canvas.arrow(tuple(start), tuple(start + along * (0.06 + 0.1 * abs(throttle))), BLUE, 0.011)
    _caption(canvas, state, PAPER)


def _car(canvas: "Canvas", x: float, y: float, tilt: float) -> None:
    """Wheels on the ground at (x, y), turned by the slope."""
    turn = np.array([[math.cos(tilt), -math.sin(tilt)], [math.sin(tilt), math.cos(tilt)]])

    def place(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(float(p[0]), float(p[1])) for p in np.asarray(points) @ turn.T + (x, y)]

    canvas.polygon(place([(-0.07, 0.025), (0.07, 0.025), (0.07, 0.055), (-0.07, 0.055)]), ORANGE)
    canvas.polygon(place([(-0.045, 0.055), (0.04, 0.055), (0.022, 0.085), (-0.03, 0.085)]), INK)
    for wheel in place([(-0.04, 0.022), (0.04, 0.022)]):
        canvas.circle(wheel, 0.022, INK)
        canvas.circle(wheel, 0.009, MUTED)


def draw_pendulum(canvas: "Canvas", state: Any, params: Any, tables: Any) -> None:
    """The rod, and the torque as an arc."""
    theta = float(state.theta)
    canvas.fill(PAPER)
    canvas.view(-1.4, -1.4, 1.4, 1.4)
    canvas.circle((0, 0), 1.02, GROUND, width=0.012)
    canvas.line((0, 0.98), (0, 1.06), GREEN, 0.03)
    tip = (math.sin(theta), math.cos(theta))
    canvas.line((0, 0), tip, ORANGE, 0.13)
    canvas.circle((0, 0), 0.045, INK)
    torque = float(state.action[0, 0])
    if state.tick > 0 and abs(torque) > 0.02:
        angles = np.linspace(0, -torque * 0.7, 24) + math.pi / 2
        arc = [(0.33 * math.cos(a), 0.33 * math.sin(a)) for a in angles]
        canvas.lines(arc[:-3], BLUE, 0.035)
        canvas.arrow(arc[-5], arc[-1], BLUE, 0.035)
    _caption(canvas, state)


def draw_acrobot(canvas: "Canvas", state: Any, params: Any, tables: Any) -> None:
    """Both links and the bar to reach."""
    canvas.fill(PAPER)
    canvas.view(-2.3, -2.3, 2.3, 2.3)
    canvas.line((-2.3, 1), (2.3, 1), GREEN, 0.02)
    canvas.text("reach this height", (-2.2, 1.12), 18, GREEN)
    first, second = float(state.theta1), float(state.theta1) + float(state.theta2)
    elbow = (math.sin(first), -math.cos(first))
    tip = (elbow[0] + math.sin(second), elbow[1] - math.cos(second))
    canvas.line((0, 0), elbow, BLUE, 0.17)
    canvas.line(elbow, tip, ORANGE, 0.17)
    for joint in ((0.0, 0.0), elbow):
        canvas.circle(joint, 0.06, INK)
    _caption(canvas, state)
