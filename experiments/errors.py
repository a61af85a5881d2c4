"""What a user got wrong, told in a line or two; anything else that goes wrong is a bug and shows its traceback."""

from collections.abc import Iterator
from contextlib import contextmanager


class InputError(Exception):
    """Bad input: the command prints the message and ends with exit code 2."""


@contextmanager
def as_input_error(*kinds: type[Exception], prefix: str = "") -> Iterator[None]:
    """Turns errors of these kinds, raised inside while judging what the user gave, into `InputError`."""
    try:
        yield
    except kinds as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise InputError(prefix + text) from error
