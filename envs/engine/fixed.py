"""Tunables that never change once a world is built, as constants of its compiled driver.

Loops over them have a known length then, and index arithmetic folds. In plain Python they are ordinary fields.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import types
from numba.core.datamodel.models import RecordModel
from numba.core.datamodel.registry import register_default
from numba.extending import intrinsic, lower_getattr_generic
from numba.np.arrayobj import record_getattr


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


@register_default(FixedRecord)
class FixedRecordModel(RecordModel):
    """Lies in memory as any record does."""


@lower_getattr_generic(FixedRecord)
def _fixed_getattr(context: Any, builder: Any, typ: FixedRecord, value: Any, attr: str) -> Any:
    if attr in typ.values:
        return context.get_constant(typ.typeof(attr), typ.values[attr])
    return record_getattr(context, builder, typ, value, attr)


def fixing(params: np.ndarray, names: tuple[str, ...]) -> Callable[..., Any]:
    """What turns one row of `params`, in compiled code, into the same row with the named fields known."""
    values = tuple((name, params[name][0].item()) for name in names)

    @intrinsic
    def fixed(typingctx, row):  # pyright: ignore
        return FixedRecord(row, values)(row), lambda context, builder, signature, args: args[0]

    return fixed
