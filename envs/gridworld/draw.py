"""How a GridWorld looks: tiles, what lies on them, the last steps, and the agent. A cell is one unit."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from envs.engine.colors import BLUE, INK, RED, WHITE, mix
from envs.gridworld import rules
from envs.gridworld.levels import Level

if TYPE_CHECKING:
    from envs.engine.canvas import Canvas

BLOCK, BLOCK_TOP, SEAM = (74, 79, 91), (92, 98, 112), (218, 214, 204)
FLOOR, ICE, GLINT, GRASS, EARTH = (244, 241, 233), (212, 231, 243), (240, 248, 253), (220, 235, 213), (150, 92, 72)
ABYSS, RIM, DEPTH = (38, 42, 56), (150, 184, 208), (104, 60, 48)
FLAG, BRASS, WOOD, FAINT = (84, 150, 88), (222, 172, 52), (158, 110, 66), (148, 150, 156)
LOOKS = {rules.LEFT: (-1, 0), rules.DOWN: (0, 1), rules.RIGHT: (1, 0), rules.UP: (0, -1)}
LONGEST_SIDE, BAR = 640, 32


def picture_size(levels: Sequence[Level]) -> tuple[int, int]:
    """(width, height) in pixels that the largest level needs, with a bar below for the caption."""
    height, width = max(one.height for one in levels), max(one.width for one in levels)
    tile = max(8, min(80, LONGEST_SIDE // max(height, width) // 2 * 2))
    return max(width * tile, 160), height * tile + BAR


def draw(canvas: "Canvas", state: Any, params: Any, tables: Any) -> None:
    """One record: the level, the trail, the agent, and in words the step, the return and the key."""
    height, width = int(params.height), int(params.width)
    tile = min(canvas.size[0] / width, (canvas.size[1] - BAR) / height)
    left, top = (canvas.size[0] / tile - width) / 2, ((canvas.size[1] - BAR) / tile - height) / 2
    canvas.fill(FLOOR)
    canvas.view(-left, canvas.size[1] / tile - top, canvas.size[0] / tile - left, -top)
    for row in range(height):
        for col in range(width):
            kind = int(tables.cells[int(params.offset) + row * width + col])
            _ground(canvas, kind, int(params.slippery), col, row)
            _thing(canvas, kind, bool(state.has_key), col, row)
    _trail(canvas, state, width)
    _agent(canvas, state, params, tables)
    key = "   has the key" if state.has_key else ""
    canvas.caption(f"step {int(state.tick)}   return {float(state.returns[0]):.4g}{key}", FAINT)


def _ground(canvas: "Canvas", kind: int, slippery: int, x: int, y: int) -> None:
    canvas.rectangle((x, y), (x + 1, y + 1), SEAM)
    colors = {rules.GOAL: GRASS, rules.CLIFF: EARTH, rules.WALL: BLOCK}
    icy = slippery == rules.EVERYWHERE or (slippery == rules.ON_ICE and kind == rules.ICE)
    color = colors.get(kind, ICE if icy else FLOOR)
    if kind == rules.WALL:
        canvas.rectangle((x, y), (x + 1, y + 1), BLOCK)
        canvas.rectangle((x + 0.05, y + 0.05), (x + 0.95, y + 0.8), BLOCK_TOP, radius=0.08)
        return
    canvas.rectangle((x + 0.02, y + 0.02), (x + 0.98, y + 0.98), color, radius=0.06)
    if color == ICE:
        canvas.line((x + 0.16, y + 0.4), (x + 0.36, y + 0.2), GLINT, 0.05)
        canvas.line((x + 0.22, y + 0.56), (x + 0.54, y + 0.24), GLINT, 0.03)


def _thing(canvas: "Canvas", kind: int, has_key: bool, x: int, y: int) -> None:
    """What lies on a tile, in the cell whose upper left corner is (x, y)."""
    if kind == rules.START:
        canvas.circle((x + 0.5, y + 0.5), 0.3, FAINT, width=0.04)
    elif kind == rules.GOAL:
        canvas.line((x + 0.34, y + 0.84), (x + 0.34, y + 0.18), INK, 0.06)
        canvas.polygon([(x + 0.36, y + 0.16), (x + 0.8, y + 0.33), (x + 0.36, y + 0.5)], FLAG)
    elif kind == rules.HOLE:
        canvas.circle((x + 0.5, y + 0.5), 0.38, RIM)
        canvas.circle((x + 0.5, y + 0.53), 0.33, ABYSS)
    elif kind == rules.CLIFF:
        for i in range(4):
            edge = x + 0.02 + i * 0.24
            canvas.polygon([(edge, y + 0.98), (edge + 0.12, y + 0.45 + 0.1 * (i % 2)), (edge + 0.24, y + 0.98)], DEPTH)
    elif kind == rules.KEY and not has_key:
        _key(canvas, x + 0.5, y + 0.5, 1.0)
    elif kind == rules.DOOR:
        canvas.rectangle((x + 0.1, y + 0.04), (x + 0.9, y + 0.96), WOOD, radius=0.06, width=0.08 if has_key else 0)
        if not has_key:
            canvas.circle((x + 0.74, y + 0.52), 0.07, BRASS)


def _key(canvas: "Canvas", x: float, y: float, size: float) -> None:
    canvas.circle((x - 0.16 * size, y), 0.14 * size, BRASS, width=0.07 * size)
    canvas.line((x - 0.04 * size, y), (x + 0.3 * size, y), BRASS, 0.07 * size)
    for tooth in (0.18, 0.29):
        canvas.line((x + tooth * size, y), (x + tooth * size, y + 0.13 * size), BRASS, 0.06 * size)


def _trail(canvas: "Canvas", state: Any, width: int) -> None:
    """A dot on each of the last cells, the older the paler."""
    tick = int(state.tick)
    for age in range(min(rules.TRAIL, tick) - 1, 0, -1):
        cell, fade = int(state.trail[(tick - age) % rules.TRAIL]), age / rules.TRAIL
        canvas.circle((cell % width + 0.5, cell // width + 0.5), 0.12 - 0.05 * fade, mix(BLUE, FLOOR, fade))
    if state.fell >= 0:
        x, y = int(state.fell) % width + 0.5, int(state.fell) // width + 0.5
        for slant in (-1, 1):
            canvas.line((x - 0.28, y - 0.28 * slant), (x + 0.28, y + 0.28 * slant), RED, 0.1)


def _agent(canvas: "Canvas", state: Any, params: Any, tables: Any) -> None:
    """A ball that looks where it went; smaller down a hole."""
    row, col = int(state.row), int(state.col)
    kind = int(tables.cells[int(params.offset) + row * int(params.width) + col])
    size = 0.5 if kind == rules.HOLE else 1.0
    x, y = col + 0.5, row + 0.5
    dx, dy = LOOKS[int(state.heading)]
    canvas.circle((x, y), 0.33 * size, WHITE)
    canvas.circle((x, y), 0.29 * size, BLUE)
    for side in (-1, 1):
        eye = (x + (0.13 * dx - 0.11 * side * dy) * size, y + (0.13 * dy + 0.11 * side * dx) * size)
        canvas.circle(eye, 0.075 * size, WHITE)
        canvas.circle((eye[0] + 0.03 * dx * size, eye[1] + 0.03 * dy * size), 0.04 * size, INK)
    if state.has_key:
        _key(canvas, x + 0.22, y + 0.26, 0.6)
