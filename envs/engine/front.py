"""A world's memory as rules see it where they are plain Python: what compiled rules would do wrong without a word (an
index that counts from the end of an array, a write into params or tables) raises an error here."""

from collections.abc import Callable
from typing import Any

import numpy as np

from envs.engine.rules import Rule, arguments


def refuse_from_the_end(key: Any) -> None:
    """Holds that no index counts from the end of an array: compiled rules would read or write before its beginning.

    Raises:
        IndexError: one does.
    """
    if any(isinstance(one, int | np.integer) and one < 0 for one in (key if isinstance(key, tuple) else (key,))):
        raise IndexError(f"a rule reads or writes [{key}]; indices count from the front, and -1 is not the last")


class Counted(np.ndarray):
    """An array that is indexed from the front only."""

    def __getitem__(self, key: Any) -> Any:
        refuse_from_the_end(key)
        return super().__getitem__(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        refuse_from_the_end(key)
        super().__setitem__(key, value)


def counted(array: np.ndarray, writable: bool = True) -> np.ndarray:
    """The same memory, indexed from the front only."""
    view = array.view(Counted)
    view.flags.writeable = writable and array.flags.writeable
    return view


class Front:
    """A record whose arrays are indexed from the front only.

    Args:
        record: of the state or of params.
        name: what rules call it.
    """

    def __init__(self, record: np.record, name: str) -> None:
        vars(self).update(_record=record, _name=name)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._record, name)
        if isinstance(value, np.ndarray):
            value = vars(self)[name] = counted(value, self._name == "state")
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if self._name != "state":
            raise ValueError(f"a rule writes {self._name}.{name}; rules may write into the state alone")
        setattr(self._record, name, value)


_LAST: dict[str, tuple[Any, Any]] = {}
"""What was last given under a name, and how rules saw it: a tick gives the same record to hundreds of rules."""


def front(name: str, value: Any) -> Any:
    """What a rule is given as an argument of this name."""
    if name not in ("state", "params", "tables"):
        return counted(value) if isinstance(value, np.ndarray) else value
    last = _LAST.get(name)
    if last is not None and last[0] is value:
        return last[1]
    if name == "tables":
        found = type(value)(*(counted(table, writable=False) for table in value))
    else:
        found = Front(value, name)
    _LAST[name] = value, found
    return found


def fronted(rule: Rule) -> Callable[..., Any]:
    """A rule that sees its arguments so."""
    names = arguments(rule)

    def call(*given: Any) -> Any:
        return rule(*map(front, names, given))

    return call
