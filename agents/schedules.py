"""Numbers that change over a run: any field of a Config annotated `Schedule` takes a number, or a text like these.

linear:1e-3:0             from 1e-3 to 0 in a straight line
linear:1:0.05:0.3         the same over the first 0.3 of the run, 0.05 from then on
cosine:1e-3:1e-5          along half a cosine wave, level at both ends
piecewise:0:1,0.2:0.5,1:0 straight lines through points, each share-of-the-run:value
"""

import copy
import math
from dataclasses import fields
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    Schedule = Any
else:
    Schedule = float | str

Points = tuple[tuple[float, float], ...]
"""(share of the run, value), by share; before the first and after the last the value stays."""

FORMS = "linear:FROM:TO, linear:FROM:TO:SHARE, cosine:FROM:TO or piecewise:SHARE:VALUE,... (shares of the run, rising)"

C = TypeVar("C")


def at(config: C, progress: float) -> C:
    """The config with the values that its schedules have after a share of the run, 0..1; itself if it has none."""
    texts = {name: text for name in scheduled(type(config)) if isinstance(text := getattr(config, name), str)}
    if not texts:
        return config
    now = copy.copy(config)
    vars(now).update({name: value(text, progress) for name, text in texts.items()})
    return now


def value(number: float | str, progress: float) -> float:
    """What a schedule's text says after a share of the run, 0..1; a number is itself.

    Raises:
        ValueError: a text that is no schedule.
    """
    if not isinstance(number, str):
        return number
    kind, points = parse(number)
    if progress <= points[0][0]:
        return points[0][1]
    for (begin, first), (end, last) in pairwise(points):
        if progress < end:
            part = (progress - begin) / (end - begin)
            part = (1 - math.cos(math.pi * part)) / 2 if kind == "cosine" else part
            return first + (last - first) * part
    return points[-1][1]


@cache
def parse(text: str) -> tuple[str, Points]:
    """The kind of a schedule and the points that it passes through.

    Raises:
        ValueError: a text that is no schedule.
    """
    kind, _, rest = text.partition(":")
    try:
        if kind == "piecewise":
            points = tuple(_pair(*point.split(":")) for point in rest.split(","))
        else:
            first, last, *share = map(float, rest.split(":"))
            (end,) = share or (1.0,)
            points = ((0.0, first), (end, last))
    except (ValueError, TypeError):
        kind, points = "", ()
    shares = [share for share, _ in points]
    rising = all(one < other for one, other in pairwise(shares)) and all(0 <= share <= 1 for share in shares)
    if kind not in ("linear", "cosine", "piecewise") or not rising or not _finite(points):
        raise ValueError(
            f"{text!r} is neither a number nor a schedule; write {FORMS}, with shares of the run rising 0..1"
        )
    return kind, points


def _pair(share: str, number: str) -> tuple[float, float]:
    return float(share), float(number)


def _finite(points: Points) -> bool:
    return bool(points) and all(math.isfinite(number) for point in points for number in point)


@cache
def scheduled(kind: type) -> tuple[str, ...]:
    """The fields of a Config that take schedules."""
    return tuple(one.name for one in fields(kind) if one.type == Schedule)
