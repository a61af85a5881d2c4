"""What a Config's fields may be: said once for all algorithms, with an error that names the field."""

import math
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin

from agents import schedules


def numbers(config: Any, names: str, low: float = -math.inf, high: float = math.inf) -> None:
    """Holds fields, named with spaces between, to finite numbers in low..high, schedules at every point.

    Raises:
        ValueError: another value, a text that is no schedule, or a schedule where the field takes none.
    """
    for name in names.split():
        given = getattr(config, name)
        if not all(low <= number <= high and math.isfinite(number) for number in _numbers_of(config, name, given)):
            rule = f"lie in {low:g}..{high:g}" if high < math.inf else f"be at least {low:g}"
            raise ValueError(f"{name} must {rule if low > -math.inf else 'be finite'}, got {given}")


def _numbers_of(config: Any, name: str, given: Any) -> list[float]:
    """A number, or those that a schedule passes through."""
    if not isinstance(given, str):
        return [given]
    if name not in schedules.scheduled(type(config)):
        raise ValueError(f"{name} must be a number, it takes no schedule; got {given!r}")
    try:
        return [number for _, number in schedules.parse(given)[1]]
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def kinds(config: Any) -> None:
    """Holds fields annotated `int` to whole numbers, and those annotated `Literal` to what is listed there.

    Raises:
        ValueError: another value.
    """
    for one in fields(config):
        given = getattr(config, one.name)
        if one.type is int and not isinstance(given, int):
            raise ValueError(f"{one.name} must be a whole number, got {given!r}")
        if get_origin(one.type) is Literal and given not in get_args(one.type):
            listed = ", ".join(map(repr, get_args(one.type)))
            raise ValueError(f"{one.name} must be one of {listed}; got {given!r}")


def mask_columns(found: int | None, needed: int) -> None:
    """Holds the columns of an env's action masks, if it has any, to those that its actions need.

    Raises:
        ValueError: another number.
    """
    if found not in (None, needed):
        raise ValueError(
            f"the env's action masks have {found} columns, its actions need {needed}; give a mask that space.sample "
            "takes, or an action_layout"
        )
