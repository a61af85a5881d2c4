"""The classic control tasks: Gymnasium's dynamics to the letter, batched."""

from typing import Any


def positive(**values: float) -> None:
    """Checks physical constants.

    Raises:
        ValueError: one that is not above 0.
    """
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}")


def checked_choice(name: str, value: Any, choices: tuple[Any, ...]) -> Any:
    """The value, if it is one of the choices.

    Raises:
        ValueError: it is not.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value
