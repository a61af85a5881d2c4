"""Text maps: parsing, the units that stand on them, and the way from anywhere to anywhere.

The letters:

    #  wall          .  ground       ~  river (ground)
    t m b            ground of the top, middle and bottom lane
    F  fountain      A  ancient      R  barracks      1 2 3 4  towers, from the outermost tier inwards
    c  camp          B  pit of the boss

A map must look the same when it is turned by 180 degrees, with the top and bottom lanes exchanged. The first team
lives where the lower left fountain is. Places are in cells, x to the right and y downwards, (0, 0) in the middle: what
the first team sees at (x, y) the second sees at (-x, -y), and rules read the map in the frame of the team that asks.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from envs.arena import data

FOLDER = Path(__file__).parent / "maps"
WALL, GROUND, RIVER = 1, 0, 2
LANES = "tmb"
STRUCTURES = "F1234RA"
LETTERS = "#.~" + LANES + STRUCTURES + "cB"
MAX_SIZE = 64
"""Cells a side at most: a row of the fog is one 32-bit word of two cells a bit."""
OFF_LANE_COST = 3.0

DX = np.array([1, 1, 0, -1, -1, -1, 0, 1], np.int32)
DY = np.array([0, 1, 1, 1, 0, -1, -1, -1], np.int32)
"""The eight directions, clockwise from the east (y points down)."""
ARRIVED = 8
KIND_OF = {"1": data.TOWER_1, "2": data.TOWER_2, "3": data.TOWER_3, "4": data.TOWER_4} | {
    "R": data.BARRACKS,
    "A": data.ANCIENT,
}


class Structure(NamedTuple):
    """A building of the first team: its kind, lane (-1: none) and place."""

    kind: int
    lane: int
    x: float
    y: float


class Map(NamedTuple):
    """A parsed map, as the first team sees it."""

    width: int
    height: int
    lanes: tuple[int, ...]
    """Which of `LANES` there are."""
    cells: np.ndarray
    """uint8 `[height * width]`: `GROUND`, `WALL` or `RIVER`."""
    flow: np.ndarray
    """int8 `[landmarks * height * width]`: the direction to take for each landmark, `ARRIVED` there or in a wall.

    Landmarks: one a lane (to the enemy's core along it), the own fountain, the own camps, the own and the other pit.
    """
    fountain: tuple[float, float]
    structures: tuple[Structure, ...]
    """Of the first team, by kind, then lane."""
    camps: tuple[tuple[float, float], ...]
    """Of the first team's half."""
    pit: tuple[float, float] | None

    @property
    def area(self) -> int:
        """Cells."""
        return self.width * self.height


def load_map(name: str) -> Map:
    """A built-in map by name, or the file at a path.

    Raises:
        ValueError: no such map, or one that breaks the rules above.
    """
    path = FOLDER / f"{name}.txt"
    if not path.exists():
        path = Path(name)
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.txt")))
        raise ValueError(f"no map {name!r}: the built-in ones are {known}; else give the path of a text file")
    return parse_map(path.read_text())


@cache
def parse_map(text: str) -> Map:
    """The map drawn in a text.

    Raises:
        ValueError: an unknown letter, uneven rows, no symmetry, a missing fountain or lane, tiers of towers with gaps,
            a fountain without a way to the enemy, a map too large.
    """
    rows = text.strip("\n").split("\n")
    _check(rows)
    grid = np.array([list(row) for row in rows])
    height, width = grid.shape
    lanes = tuple(i for i, letter in enumerate(LANES) if (grid == letter).any())
    cells = np.select([grid == "#", grid == "~"], [WALL, RIVER], GROUND).astype(np.uint8)
    own = _own_half(grid)
    places = {letter: [_centre(grid, place) for place in own if grid[place] == letter] for letter in LETTERS}
    structures = [
        Structure(KIND_OF[str(grid[place])], _lane_of(grid, place), *_centre(grid, place))
        for place in own
        if grid[place] in KIND_OF
    ]
    goals = _goals(grid, own, lanes)
    flow = [_flow(grid, goal, letter) for goal, letter in goals]
    fountain = next(row * width + column for row, column in own if grid[row, column] == "F")
    if flow[0][fountain] == ARRIVED:
        raise ValueError("map: no way leads from a fountain (F) to the enemy's core; open the walls (#) between")
    return Map(
        width,
        height,
        lanes,
        cells.ravel(),
        np.concatenate(flow).astype(np.int8),
        places["F"][0],
        tuple(sorted(structures)),
        tuple(places["c"]),
        places["B"][0] if places["B"] else None,
    )


def _check(rows: list[str]) -> None:
    width, height = len(rows[0]), len(rows)
    if uneven := [i for i, row in enumerate(rows, 1) if len(row) != width]:
        raise ValueError(f"map: line {uneven[0]} has {len(rows[uneven[0] - 1])} letters, the first has {width}")
    if width > MAX_SIZE or height > MAX_SIZE or width % 2 or height % 2:
        raise ValueError(f"map: {width} x {height} cells; both must be even and {MAX_SIZE} at most")
    text = "".join(rows)
    if unknown := sorted(set(text) - set(LETTERS)):
        raise ValueError(f"map: unknown letters {unknown}; there are {' '.join(LETTERS)}")
    turned = text[::-1].translate(str.maketrans("tb", "bt"))
    if text != turned:
        at = next(i for i, (a, b) in enumerate(zip(text, turned, strict=True)) if a != b)
        raise ValueError(
            f"map: line {at // width + 1}, column {at % width + 1} is {text[at]!r}, but turned by 180 degrees "
            f"{turned[at]!r} lies there; both halves must look alike"
        )
    if text.count("F") != 2:
        raise ValueError(f"map: {text.count('F')} fountains (F); each team has one")
    if text.count("1") < 2:
        raise ValueError(f"map: {text.count('1')} first towers (1); each team needs one")
    if text.count("A") not in (0, 2):
        raise ValueError(f"map: {text.count('A')} ancients (A); each team has one, or there is none")
    for tier in (2, 3):
        if str(tier) in text and str(tier - 1) not in text:
            raise ValueError(f"map: towers of tier {tier} open when one of tier {tier - 1} falls, and there is none")
    if "A" in text and "4" not in text:
        raise ValueError("map: an ancient (A) opens when the fourth towers (4) fall, and there is none")
    if not set(text) & set(LANES):
        raise ValueError("map: no lane; mark one with the letters t, m or b")
    if "A" not in text and set(text) & set("234R"):
        raise ValueError("map: towers of later tiers or barracks (2 3 4 R) guard an ancient (A), and there is none")
    if "4" in text and "3" not in text:
        raise ValueError("map: fourth towers (4) open when a third tower (3) falls, and there is none")
    if text.count("B") not in (0, 2):
        raise ValueError(f"map: {text.count('B')} pits (B); there must be none or two")


def _own_half(grid: np.ndarray) -> list[tuple[int, int]]:
    """Cells nearer to the lower left fountain than to the other, those as near by their order."""
    row, col = max((int(r) - int(c), int(r), int(c)) for r, c in np.argwhere(grid == "F"))[1:]
    height, width = grid.shape
    other = (height - 1 - row, width - 1 - col)
    return [
        (r, c)
        for r in range(height)
        for c in range(width)
        if ((r - row) ** 2 + (c - col) ** 2, (r, c))
        < ((r - other[0]) ** 2 + (c - other[1]) ** 2, (height - r, width - c))
    ]


def _centre(grid: np.ndarray, place: tuple[int, int]) -> tuple[float, float]:
    height, width = grid.shape
    return place[1] + 0.5 - width / 2, place[0] + 0.5 - height / 2


def _lane_of(grid: np.ndarray, place: tuple[int, int]) -> int:
    """The lane whose ground touches a structure; towers of the fourth tier and ancients have none."""
    if grid[place] in "4A":
        return -1
    row, col = place
    around = grid[max(row - 2, 0) : row + 3, max(col - 2, 0) : col + 3]
    counts = [(around == letter).sum() for letter in LANES]
    if max(counts) == 0:
        raise ValueError(f"map: the {grid[place]!r} in line {row + 1}, column {col + 1} stands beside no lane")
    return int(np.argmax(counts))


def _goals(
    grid: np.ndarray, own: list[tuple[int, int]], lanes: tuple[int, ...]
) -> list[tuple[tuple[int, int], str | None]]:
    """The landmarks: a cell, and the lane to keep to."""
    height, width = grid.shape

    def turned(place: tuple[int, int]) -> tuple[int, int]:
        return height - 1 - place[0], width - 1 - place[1]

    first = {str(grid[place]): place for place in own}
    core = turned(first["A"] if "A" in first else first["1"])
    camps: list[tuple[tuple[int, int], str | None]] = [(place, None) for place in own if grid[place] == "c"]
    pits: list[tuple[tuple[int, int], str | None]] = []
    if "B" in first:
        pits = [(first["B"], None), (turned(first["B"]), None)]
    return [*((core, LANES[lane]) for lane in lanes), (first["F"], None), *camps, *pits]


def _flow(grid: np.ndarray, goal: tuple[int, int], lane: str | None) -> np.ndarray:
    """The first direction of a shortest way to `goal`, `[height * width]`; ground off the lane costs more."""
    height, width = grid.shape
    free = np.pad(grid != "#", 1)
    cost = np.where(grid == lane, 1.0, OFF_LANE_COST) if lane else np.ones(grid.shape)

    def ahead(padded: np.ndarray, dx: int, dy: int) -> np.ndarray:
        """What lies a step away from each cell."""
        return padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]

    prices = [
        np.where(
            ahead(free, 0, 0) & ahead(free, dx, dy) & ahead(free, dx, 0) & ahead(free, 0, dy),
            cost * np.hypot(dx, dy),
            np.inf,
        )
        for dx, dy in zip(DX, DY, strict=True)
    ]
    distance = np.full((height + 2, width + 2), np.inf)
    distance[goal[0] + 1, goal[1] + 1] = 0
    while True:
        ways = np.stack([ahead(distance, dx, dy) + price for dx, dy, price in zip(DX, DY, prices, strict=True)])
        nearer = np.minimum(ways.min(0), ahead(distance, 0, 0))
        if (nearer == ahead(distance, 0, 0)).all():
            break
        ahead(distance, 0, 0)[...] = nearer
    arrived = np.isinf(nearer) | (nearer == 0)
    return np.where(arrived, ARRIVED, (ways <= nearer + 1e-9).argmax(0)).ravel()
