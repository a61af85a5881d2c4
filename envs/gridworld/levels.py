"""Levels as text: the letters, the built-in ones, and how a text is read.

A level is an optional header of `name: value` lines, then the map, one letter a cell (`LEGEND`), all rows equally
long. Outside the map is wall, so a border of walls is not needed.

    step_reward: -0.01
    max_episode_steps: 50

    S.#.
    ..#G
    ....
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.registration import did_you_mean

LEGEND = {
    "#": "wall: nobody enters",
    ".": "floor",
    "S": "start; of several each episode draws one",
    "G": "goal: ends the episode",
    "H": "hole: ends the episode",
    "C": "cliff: puts back to a start, and the episode goes on",
    "~": "ice: leaving it, a move goes 90 degrees left or right of the wish with a chance of 1/3 each",
    "K": "key: entering takes it; it opens every door",
    "D": "door: a wall to who has no key",
}
"""Every letter and what it is."""

LETTERS = "".join(LEGEND)
"""A cell's code in the tables is its letter's place here."""

FOLDER = Path(__file__).parent / "levels"
DEFAULT_STEPS_PER_CELL = 4


@dataclass(frozen=True)
class Level:
    """A map and the defaults that its header sets."""

    name: str
    rows: tuple[str, ...]
    slippery: bool | None = None
    """True: every cell is as ice; False: none, not even ice; None: ice only."""
    step_reward: float = 0.0
    """The reward of a step that ends on any cell but the three below."""
    goal_reward: float = 1.0
    hole_reward: float = 0.0
    cliff_reward: float = -1.0
    max_episode_steps: int = 0
    """0: no limit. A header without it gives four steps a cell, at least 100."""

    def __post_init__(self) -> None:
        if not self.rows:
            raise ValueError(f"level {self.name}: there is no map")
        _rows(self.name, list(enumerate(self.rows, 1)), 0)

    @property
    def height(self) -> int:
        """Rows of the map."""
        return len(self.rows)

    @property
    def width(self) -> int:
        """Columns of the map."""
        return len(self.rows[0])

    @property
    def num_states(self) -> int:
        """Cells, twice that where there is a key."""
        return self.height * self.width * (2 if "K" in "".join(self.rows) else 1)


def level_names() -> list[str]:
    """The built-in levels."""
    return sorted(path.stem for path in FOLDER.glob("*.txt"))


def load_level(source: str | Path) -> Level:
    """The level behind a built-in name, a path to a text file, or a string of several lines.

    Raises:
        ValueError: no such level or file, or a text that is no level (see `parse_level`).
    """
    source = str(source)
    if "\n" in source:
        return parse_level(source)
    if source in level_names():
        return parse_level((FOLDER / f"{source}.txt").read_text(), source)
    if Path(source).is_file():
        return parse_level(Path(source).read_text(), source)
    names = level_names()
    raise ValueError(
        f"no level {source!r}{did_you_mean(source, names)}; there are {', '.join(names)}; "
        "or give a path to a text file, or a string of several lines"
    )


def parse_level(text: str, name: str = "<string>") -> Level:
    """Reads a level. Blank lines round the header and the map, and a common indentation, don't count.

    Raises:
        ValueError: a header line that is unknown or has a wrong value, an unknown letter, rows of different length, no
            start or no goal; it names line and column, counted from 1 in `text`.
    """
    lines = [(number, line.rstrip()) for number, line in enumerate(text.splitlines(), 1)]
    header = [(number, line) for number, line in lines if ":" in line]
    body = [(number, line) for number, line in lines if ":" not in line]
    settings = dict(_setting(name, number, line) for number, line in header)
    while body and not body[0][1]:
        body.pop(0)
    while body and not body[-1][1]:
        body.pop()
    if not body:
        raise ValueError(f"level {name}, line {len(lines) + 1}, column 1: there is no map; see the example in the docs")
    margin = min(len(line) - len(line.lstrip()) for _, line in body if line)
    rows = _rows(name, body, margin)
    cells = len(rows) * len(rows[0])
    settings.setdefault("max_episode_steps", max(100, DEFAULT_STEPS_PER_CELL * cells))
    return Level(name, rows, **settings)


def _rows(name: str, body: list[tuple[int, str]], margin: int) -> tuple[str, ...]:
    """The map's rows, checked; `body` holds (line number, line), of which the first `margin` letters don't count."""
    first, width = body[0][0], len(body[0][1]) - margin
    rows = []
    for number, line in body:
        row = line[margin:]
        for column, letter in enumerate(row, margin + 1):
            if letter not in LEGEND:
                known = ", ".join(f"{known} {what.split(':')[0].split(';')[0]}" for known, what in LEGEND.items())
                raise ValueError(
                    f"level {name}, line {number}, column {column}: unknown letter {letter!r}; use {known}"
                )
        if len(row) != width:
            column = margin + min(len(row), width) + 1
            raise ValueError(
                f"level {name}, line {number}, column {column}: this row has {len(row)} cells and line {first} has "
                f"{width}; make all rows equally long (# is wall)"
            )
        rows.append(row)
    for letter, what in (("S", "start"), ("G", "goal")):
        if letter not in "".join(rows):
            raise ValueError(
                f"level {name}, lines {first} to {body[-1][0]}, columns {margin + 1} to {margin + width}: "
                f"there is no {what}; write {letter} in one cell at least"
            )
    return tuple(rows)


def _setting(name: str, number: int, line: str) -> tuple[str, Any]:
    key, value = (part.strip() for part in line.split(":", 1))
    column = line.index(":") + 2
    if not re.fullmatch(r"\w+", key) or key not in SETTINGS:
        raise ValueError(
            f"level {name}, line {number}, column 1: unknown setting {key!r}{did_you_mean(key, SETTINGS)}; "
            f"there are {', '.join(SETTINGS)}"
        )
    try:
        return key, SETTINGS[key](value)
    except (KeyError, ValueError):
        needs = {"slippery": "yes or no", "max_episode_steps": "an integer, 0 for no limit"}.get(key, "a number")
        raise ValueError(f"level {name}, line {number}, column {column}: {key} needs {needs}, got {value!r}") from None


def _yes_or_no(value: str) -> bool:
    return {"yes": True, "true": True, "no": False, "false": False}[value.lower()]


def _steps(value: str) -> int:
    steps = int(value)
    if steps < 0:
        raise ValueError
    return steps


SETTINGS: dict[str, Callable[[str], Any]] = {
    "slippery": _yes_or_no,
    "step_reward": float,
    "goal_reward": float,
    "hole_reward": float,
    "cliff_reward": float,
    "max_episode_steps": _steps,
}
"""What a header may set, each a default of the world's option of that name."""
