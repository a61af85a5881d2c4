"""The classic control tasks: Gymnasium's dynamics to the letter, batched."""

import math
import numbers
from typing import Any


def finite(**values: float) -> None:
    """Checks numbers that may have any sign.

    Raises:
        ValueError: one that is infinite or not a number.
    """
    for name, value in values.items():
        if not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise ValueError(f"{name} must be a finite number, got {value!r}")


def positive(**values: float) -> None:
    """Checks physical constants.

    Raises:
        ValueError: one that is not a finite number above 0.
    """
    finite(**values)
    for name, value in values.items():
        if value <= 0:
            raise ValueError(f"{name} must be above 0, got {value}")


def checked_choice(name: str, value: Any, choices: tuple[Any, ...]) -> Any:
    """The value, if it is one of the choices.

    Raises:
        ValueError: it is not.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value
