"""What a user got wrong, told in a line or two; anything else that goes wrong is a bug and shows its traceback."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from envs.registration import did_you_mean


class InputError(Exception):
    """Bad input: the command prints the message and ends with exit code 2."""


def check_known(what: str, name: str, known: Collection[str]) -> None:
    """Raises `InputError` for a name that is not known, with the nearest that is and all there are."""
    if name not in known:
        raise InputError(f"no {what} {name!r}{did_you_mean(name, known)}; there are: {', '.join(known)}")


@contextmanager
def as_input_error(*kinds: type[Exception], prefix: str = "") -> Iterator[None]:
    """Turns errors of these kinds, raised inside while judging what the user gave, into `InputError`."""
    try:
        yield
    except kinds as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise InputError(prefix + text) from error
