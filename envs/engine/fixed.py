"""Tunables that never change once a world is built, as constants of its compiled driver.

Loops over them have a known length then, and index arithmetic folds. In plain Python they are ordinary fields.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba.core import types


class FixedRecord(types.Record):
    """The type of a record some of whose fields are known when code is compiled.

    Args:
        record: the ordinary type.
        values: (field, value) of the scalars that are known.
    """

    def __init__(self, record: types.Record, values: tuple[tuple[str, Any], ...]) -> None:
        self.fields, self.size, self.aligned = record.fields, record.size, record.aligned
        self.bitwidth = record.bitwidth
        self.values = dict(values)
        types.Type.__init__(self, name=f"Fixed{record.name}{values}")


def _teach(register_default: Any, lower_getattr_generic: Any, model: type, getattr_usually: Callable[..., Any]) -> None:
    """Teaches a compiler that such records lie in memory as all do, and that the known fields need no look there."""
    register_default(FixedRecord)(model)

    @lower_getattr_generic(FixedRecord)
    def fixed_getattr(context: Any, builder: Any, typ: FixedRecord, value: Any, attr: str) -> Any:
        if attr in typ.values:
            return context.get_constant(typ.typeof(attr), typ.values[attr])
        return getattr_usually(context, builder, typ, value, attr)


@cache
def _extending(cuda: bool) -> Any:
    """numba's module `extending`, or numba-cuda's; it knows of fixed records."""
    if cuda:
        from numba.cuda import extending  # pyright: ignore[reportAttributeAccessIssue]
        from numba.cuda.datamodel.models import RecordModel  # pyright: ignore[reportMissingImports]
        from numba.cuda.datamodel.registry import register_default  # pyright: ignore[reportMissingImports]
        from numba.cuda.np.arrayobj import record_getattr  # pyright: ignore[reportMissingImports]
    else:
        from numba import extending
        from numba.core.datamodel.models import RecordModel
        from numba.core.datamodel.registry import register_default
        from numba.np.arrayobj import record_getattr
    numba_extending: Any = extending
    _teach(register_default, numba_extending.lower_getattr_generic, RecordModel, record_getattr)
    return numba_extending


def fixing(params: np.ndarray, names: tuple[str, ...], *, cuda: bool = False) -> Callable[..., Any]:
    """What turns one row of `params`, in compiled code, into the same row with the named fields known.

    Args:
        params: the rows of tunables `[R]`.
        names: fields that are the same in all of them.
        cuda: for kernels; else for the CPU.
    """
    values = tuple((name, params[name][0].item()) for name in names)

    @_extending(cuda).intrinsic
    def fixed(typingctx, row):  # pyright: ignore
        return FixedRecord(row, values)(row), lambda context, builder, signature, args: args[0]

    return fixed
