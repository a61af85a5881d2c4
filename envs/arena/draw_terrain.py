"""How the ground of a map looks: meadow, woods, river, lanes and bases. It is painted once a map and kept."""

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.arena import data
from envs.arena.map import ARRIVED, DX, DY, RIVER, WALL
from envs.engine.colors import BLUE, LEAF, MEADOW, ORANGE, SAND, STONE, WATER, mix

if TYPE_CHECKING:
    from envs.engine.canvas import Canvas

GRASS_LIGHT, GRASS_DARK = mix(MEADOW, SAND, 0.16), mix(MEADOW, LEAF, 0.12)
PATH, PATH_EDGE = mix(SAND, MEADOW, 0.12), mix(STONE, MEADOW, 0.45)
WATER_LIGHT, SHORE = mix(WATER, SAND, 0.4), mix(WATER, SAND, 0.6)
SHADOW, TRUNK, CROWN, CROWN_LIGHT = (96, 116, 84), (66, 92, 66), (84, 114, 78), (106, 136, 92)
TEAM_GROUND = (mix(PATH, BLUE, 0.22), mix(PATH, ORANGE, 0.24))
LANE_WIDTH, SMOOTHING, WAY_POINTS = 2.3, 9, 96
LANDINGS = (data.ANCIENT, data.TOWER_1, data.TOWER_2, data.TOWER_3, data.TOWER_4, data.BARRACKS)


def edges(params: Any, cells: Any) -> tuple[float, float, float, float]:
    """The part of the map worth showing, left, top, right, bottom: where there is ground, and a cell more."""
    grid = np.asarray(cells).reshape(int(params.height), int(params.width)) != WALL
    rows, columns = np.flatnonzero(grid.any(axis=1)), np.flatnonzero(grid.any(axis=0))
    left, top = columns[0] - 1 - float(params.half_width), rows[0] - 1 - float(params.half_height)
    return left, top, columns[-1] + 2 - float(params.half_width), rows[-1] + 2 - float(params.half_height)


def paint(canvas: "Canvas", params: Any, tables: Any) -> None:
    """The ground, into the canvas's view, whose unit is a cell and whose origin is the map's middle."""
    height, width = int(params.height), int(params.width)
    grid = np.asarray(tables.cells).reshape(height, width)
    canvas.fill(mix(MEADOW, LEAF, 0.1))
    _meadow(canvas, grid)
    _river(canvas, grid)
    _paths(canvas, params, np.asarray(tables.flow))
    _bases(canvas, params)
    _pits(canvas, params)
    _woods(canvas, grid)


def _places(grid: np.ndarray, kind: int) -> Iterator[tuple[float, float]]:
    """The middle of every cell of a kind."""
    height, width = grid.shape
    for row, column in np.argwhere(grid == kind):
        yield float(column) + 0.5 - width / 2, float(row) + 0.5 - height / 2


def _meadow(canvas: "Canvas", grid: np.ndarray) -> None:
    """Patches of other greens, the same in every picture."""
    random = np.random.default_rng(7)
    height, width = grid.shape
    for shade, radius in ((GRASS_DARK, 2.2), (GRASS_LIGHT, 1.6)):
        for _ in range(height * width // 22):
            x, y = (random.random(2) - 0.5) * (width, height)
            canvas.circle((x, y), radius * (0.4 + random.random()), shade, alpha=70)


def _river(canvas: "Canvas", grid: np.ndarray) -> None:
    """Water with shores, and ripples here and there."""
    cells = list(_places(grid, RIVER))
    for color, radius in ((SHORE, 1.3), (WATER, 1.06)):
        for x, y in cells:
            canvas.circle((x, y), radius, color)
    for (x, y), (dx, dy, size) in zip(cells, _jitter(), strict=False):
        if size > 0.58:
            canvas.line((x + 2 * dx - 0.3, y + 2 * dy), (x + 2 * dx + 0.3, y + 2 * dy), WATER_LIGHT, 0.1)


def _paths(canvas: "Canvas", params: Any, flow: np.ndarray) -> None:
    """The lanes: the ways that the rules themselves take from fountain to core, either team's and what lies between."""
    ways = []
    names = np.asarray(params.lane_name)[: int(params.lanes)].tolist()
    for lane, name in enumerate(names):
        ahead = way_along(params, flow, lane)
        back = -way_along(params, flow, names.index(2 - name))[::-1] if 2 - name in names else ahead
        ways += [ahead, back, (ahead + back) / 2]
    for color, width in ((PATH_EDGE, LANE_WIDTH + 0.4), (PATH, LANE_WIDTH)):
        for way in ways:
            canvas.lines(way.tolist(), color, width)


def way_along(params: Any, flow: np.ndarray, landmark: int) -> np.ndarray:
    """`WAY_POINTS` places on the smoothed way from the first team's fountain by a landmark to the other's, `[n, 2]`."""
    height, width = int(params.height), int(params.width)
    column = int(params.fountain_x + params.half_width)
    row = int(params.fountain_y + params.half_height)
    way = []
    for _ in range(height * width):
        way.append((column + 0.5 - width / 2, row + 0.5 - height / 2))
        direction = int(flow[(landmark * height + row) * width + column])
        if direction == ARRIVED:
            break
        column, row = column + int(DX[direction]), row + int(DY[direction])
    way += [(-way[0][0], -way[0][1])] * 3
    spots = np.pad(np.array(way), ((SMOOTHING // 2,) * 2, (0, 0)), mode="edge")
    window = np.ones(SMOOTHING) / SMOOTHING
    places = np.linspace(0, len(way) - 1, WAY_POINTS)
    axes = [np.convolve(spots[:, axis], window, mode="valid") for axis in range(2)]
    return np.stack([np.interp(places, np.arange(len(way)), smooth) for smooth in axes], axis=1)


def _bases(canvas: "Canvas", params: Any) -> None:
    """Paved ground in the team's colour round fountains, and a plinth under every structure."""
    for team, sign in ((0, 1.0), (1, -1.0)):
        x, y = sign * float(params.fountain_x), sign * float(params.fountain_y)
        canvas.circle((x, y), 2.7, PATH_EDGE)
        canvas.circle((x, y), 2.5, TEAM_GROUND[team])
        canvas.circle((x, y), 1.5, mix(TEAM_GROUND[team], (255, 255, 255), 0.3))
    for unit in np.flatnonzero(np.isin(params.slot_kind, LANDINGS)):
        spot = float(params.slot_x[unit]), float(params.slot_y[unit])
        size = 2.3 if params.slot_kind[unit] == data.ANCIENT else 1.35
        canvas.circle(spot, size, PATH_EDGE)
        canvas.circle(spot, size - 0.18, TEAM_GROUND[int(params.slot_faction[unit])])


def _pits(canvas: "Canvas", params: Any) -> None:
    """Trodden ground where camps and bosses live."""
    for unit in np.flatnonzero(np.isin(params.slot_kind, (data.BEAST, data.BOSS))):
        spot = float(params.slot_x[unit]), float(params.slot_y[unit])
        size = 2.2 if params.slot_kind[unit] == data.BOSS else 1.1
        canvas.circle(spot, size, mix(PATH_EDGE, (120, 96, 70), 0.3), alpha=150)


def _woods(canvas: "Canvas", grid: np.ndarray) -> None:
    """A tree a wall cell: shadows first, then crowns, each a little off its cell's middle."""
    trees = [(x + dx, y + dy, size) for (x, y), (dx, dy, size) in zip(_places(grid, WALL), _jitter(), strict=False)]
    for x, y, _ in trees:
        canvas.circle((x + 0.22, y + 0.28), 0.78, SHADOW)
    for x, y, _ in trees:
        canvas.circle((x, y), 0.74, TRUNK)
    for x, y, size in trees:
        canvas.circle((x - 0.04, y - 0.06), size, CROWN)
        canvas.circle((x - 0.16, y - 0.2), size * 0.52, CROWN_LIGHT)


@lru_cache(1)
def _jitter() -> list[tuple[float, float, float]]:
    random = np.random.default_rng(3)
    offsets = random.random((64 * 64, 3))
    return [(0.3 * dx - 0.15, 0.3 * dy - 0.15, 0.5 + 0.16 * size) for dx, dy, size in offsets.tolist()]
