"""What a user got wrong, told in a line or two; anything else that goes wrong is a bug and shows its traceback."""

import errno
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from envs.registration import did_you_mean

UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
"""Numbers of the errors of a system that does not let a file be written: no space, no right."""


class InputError(Exception):
    """Bad input: the command prints the message and ends with exit code 2."""


def install(extra: str) -> str:
    """How to install an extra."""
    return f"pip install 'quintet[{extra}]' (in a clone: pip install -c constraints.txt -e '.[{extra}]')"


def check_known(what: str, name: str, known: Collection[str]) -> None:
    """Raises `InputError` for a name that is not known, with the nearest that is and all there are."""
    if name not in known:
        raise InputError(f"no {what} {name!r}{did_you_mean(name, known)}; there are: {', '.join(known)}")


def check_seed(seed: int) -> None:
    """Raises `InputError` for a seed that no environment takes."""
    if not 0 <= seed < 2**31:
        raise InputError(f"--seed must lie in 0..{2**31 - 1}, got {seed}")


def check_file(flag: str, name: str | Path, *endings: str) -> Path:
    """A file to be written later: makes its folder, and tries now whether it can be written there.

    Raises:
        InputError: its name has another ending, or it can't.
    """
    path = Path(name)
    if path.suffix not in endings:
        raise InputError(f"{flag} {path}: the file's name must end in {' or '.join(endings)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise InputError(f"{flag} {path} is a folder; give a file")
        with tempfile.NamedTemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InputError(f"{flag} {path} can't be written: {error.strerror or error}; give another file") from error
    return path


@contextmanager
def as_input_error(*kinds: type[Exception], prefix: str = "") -> Iterator[None]:
    """Turns errors of these kinds, raised inside while judging what the user gave, into `InputError`."""
    try:
        yield
    except kinds as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise InputError(prefix + text) from error
