"""How the classic control tasks look. Lengths are the worlds' own; a blue arrow is what the agent just did."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.engine.colors import BLUE, GRASS, GREEN, INK, LEAF, MUTED, ORANGE, PAPER, RED, SAND, SKY, STONE, Color

if TYPE_CHECKING:
    from envs.engine.canvas import Canvas

Points = list[tuple[float, float]]

_CAR = [(-0.07, 0.022), (0.07, 0.022), (0.07, 0.048), (0.045, 0.056), (-0.066, 0.056), (-0.07, 0.05)]
_CABIN = [(-0.052, 0.056), (0.04, 0.056), (0.018, 0.088), (-0.034, 0.088)]
_WINDOWS = ([(-0.04, 0.06), (-0.01, 0.06), (-0.01, 0.081), (-0.03, 0.081)],
            [(-0.002, 0.06), (0.029, 0.06), (0.014, 0.081), (-0.002, 0.081)])  # fmt: skip


def _caption(canvas: "Canvas", state: Any, color: Color = MUTED) -> None:
    canvas.caption(f"step {int(state.tick)}   return {float(state.returns[0]):.4g}", color)


def _arc(center: tuple[float, float], radius: float, start: float, turn: float) -> Points:
    """Points along a circle from the angle `start`, counter-clockwise by `turn`, in radians."""
    angles = start + np.linspace(0, turn, 32)
    return [(center[0] + radius * math.cos(a), center[1] + radius * math.sin(a)) for a in angles]


def _torque(canvas: "Canvas", center: tuple[float, float], radius: float, turn: float, width: float) -> None:
    """A bent arrow over the top of a joint; counter-clockwise where `turn` > 0."""
    arc = _arc(center, radius, math.pi / 2 - turn / 2, turn)
    canvas.lines(arc[:-5], BLUE, width)
    canvas.arrow(arc[-7], arc[-1], BLUE, width)


def draw_cartpole(canvas: "Canvas", state: Any, params: Any, tables: Any) -> None:
    """The cart on its track between the limits, the pole in the wedge it may lean in, and the push."""
    limit, length = float(params.x_threshold), 2 * float(params.length)
    x, theta, widest = float(state.x), float(state.theta), float(params.theta_threshold)
    half = limit + 0.4
    canvas.fill(PAPER)
    canvas.view(-half, -0.75, half, -0.75 + 2 * half * canvas.size[1] / canvas.size[0])
    canvas.rectangle((-half, -0.13), (half, -2), SAND)
    for mark in np.arange(-math.floor(limit), math.floor(limit) + 1):
        canvas.line((float(mark), -0.13), (float(mark), -0.2), STONE, 0.015)
    for side in (-limit, limit):
        canvas.line((side, -0.13), (side, -0.34), RED, 0.04)
    canvas.rectangle((-half, -0.12), (half, -0.14), MUTED)
    pivot = (x, 0.22)
    canvas.polygon([pivot, *_arc(pivot, length * 1.06, math.pi / 2 - widest, 2 * widest)], SAND)
    for wheel in (-0.17, 0.17):
        canvas.circle((x + wheel, -0.05), 0.075, INK)
        canvas.circle((x + wheel, -0.05), 0.03, STONE)
    canvas.rectangle((x - 0.32, -0.01), (x + 0.32, 0.22), INK, radius=0.05)
    tip = (x + length * math.sin(theta), pivot[1] + length * math.cos(theta))
    canvas.line(pivot, tip, RED if state.terminated else ORANGE, 0.085)
    canvas.circle(pivot, 0.05, PAPER)
    if state.tick > 0:
        way = 1 if state.action[0] == 1 else -1
        canvas.arrow((x + way * 0.42, 0.1), (x + way * 0.84, 0.1), BLUE, 0.05)
    _caption(canvas, state)


def _height(position: float) -> float:
    return math.sin(3 * position) * 0.45 + 0.55


def draw_mountain_car(canvas: "Canvas", state: Any, params: Any, tables: Any) -> None:
    """The valley from the wall to the flag on the goal, and the car."""
    left, right, wall = -1.3, 0.68, -1.2
    canvas.fill(SKY)
    canvas.view(left, -0.05, right, -0.05 + (right - left) * canvas.size[1] / canvas.size[0])
    slope = [(float(p), _height(float(p))) for p in np.linspace(left - 0.02, right + 0.02, 90)]
    canvas.rectangle((left, 0), (wall - 0.068, _height(wall) + 0.15), STONE)
    canvas.polygon([(left, -0.1), *slope, (right, -0.1)], GRASS)
    canvas.lines(slope, LEAF, 0.009)
    goal = float(params.goal_position)
    foot = _height(goal)
    canvas.line((goal, foot), (goal, foot + 0.14), INK, 0.008)
    canvas.polygon([(goal, foot + 0.144), (goal, foot + 0.08), (goal + 0.075, foot + 0.112)], RED)
    position = float(state.position)
    tilt = math.atan(1.35 * math.cos(3 * position))
    _car(canvas, position, _height(position), tilt)
    throttle = float(np.ravel(state.action)[0]) - (1.0 if np.issubdtype(state.action.dtype, np.integer) else 0.0)
    if state.tick > 0 and abs(throttle) > 0.05:
        along = throttle * np.array([math.cos(tilt), math.sin(tilt)])
        start = np.array([position, _height(position) + 0.17]) - 0.06 * along
        canvas.arrow(tuple(start), tuple(start + 0.12 * along), BLUE, 0.013)
    _caption(canvas, state, PAPER)


def _car(canvas: "Canvas", x: float, y: float, tilt: float) -> None:
    """A car with its wheels on the ground at (x, y)."""
    turn = np.array([[math.cos(tilt), -math.sin(tilt)], [math.sin(tilt), math.cos(tilt)]])

    def place(points: Points) -> Points:
        return [(float(p[0]), float(p[1])) for p in np.asarray(points) @ turn.T + (x, y)]

    canvas.polygon(place(_CABIN), ORANGE)
    for window in _WINDOWS:
        canvas.polygon(place(window), SKY)
    canvas.polygon(place(_CAR), ORANGE)
    for wheel in place([(-0.04, 0.022), (0.04, 0.022)]):
        canvas.circle(wheel, 0.023, INK)
        canvas.circle(wheel, 0.009, STONE)


def draw_pendulum(canvas: "Canvas", state: Any, params: Any, tables: Any) -> None:
    """The rod, the top it should reach, and the torque as an arc."""
    theta, torque = float(state.theta), float(state.action[0, 0])
    canvas.fill(PAPER)
    canvas.view(-1.4, -1.4, 1.4, 1.4)
    canvas.circle((0, 0), 1.0, SAND, width=0.012)
    canvas.circle((0, 1), 0.1, GREEN, width=0.02)
    canvas.line((0, 0), (-math.sin(theta), math.cos(theta)), ORANGE, 0.13)
    canvas.circle((0, 0), 0.04, PAPER)
    if state.tick > 0 and abs(torque) > 0.05:
        _torque(canvas, (0, 0), 0.34, torque * 0.7, 0.035)
    _caption(canvas, state)


def draw_acrobot(canvas: "Canvas", state: Any, params: Any, tables: Any) -> None:
    """Both links, the height to reach, and the torque at the elbow."""
    canvas.fill(PAPER)
    canvas.view(-2.3, -2.3, 2.3, 2.3)
    canvas.line((-3, 1), (3, 1), GREEN, 0.02)
    canvas.text("reach this height", (-2.2, 1.13), 18, GREEN)
    upper = float(state.theta1)
    lower = upper + float(state.theta2)
    elbow = (math.sin(upper), -math.cos(upper))
    tip = (elbow[0] + math.sin(lower), elbow[1] - math.cos(lower))
    canvas.line((0, 0), elbow, INK, 0.17)
    canvas.line(elbow, tip, ORANGE, 0.17)
    for joint in ((0.0, 0.0), elbow):
        canvas.circle(joint, 0.05, PAPER)
    if state.tick > 0 and state.action[0] != 1:
        _torque(canvas, elbow, 0.32, 1.7 * (int(state.action[0]) - 1), 0.045)
    _caption(canvas, state)
