"""Where a world's time goes: a clock read after each phase, inside the compiled driver."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from envs.engine.rules import DEBUG, Phases, Rule, World, phases, plain, rule

EARLIER = 0
"""The column that holds the clock's last reading."""


def profiled(world: World) -> tuple[World, list[str]]:
    """The world with a clock after each phase, and the names of what the clock tells apart.

    The table "clock" int64 `[names + 1]` of the new world adds up processor cycles (nanoseconds under QUINTET_DEBUG):
    column 0 is the last reading, column i + 1 belongs to name i. "rest and mask" is the mask and the loops round the
    rules.
    """
    names = ["rest and mask"]

    def timed(part: str, declared: Phases) -> list[Any]:
        found: list[Any] = []
        for phase in phases(declared):
            names.append(f"{part}: {plain(phase.rule).__module__.rsplit('.')[-1]}.{plain(phase.rule).__name__}")
            found += [phase, _lap(len(names))]
        return found

    step = [_lap(1), *timed("step", world.step)]
    observe = [_lap(1), *timed("observe", world.observe)]
    tables = world.tables | {"clock": np.zeros(len(names) + 1, np.int64)}
    return replace(world, step=step, observe=observe, tables=tables), names


def _lap(column: int) -> Rule:
    """A phase that adds the time since the clock was last read to a column; a reading of 0 starts it."""

    @rule
    def lap(tables):
        now = cycles()
        if tables.clock[EARLIER] != 0:
            tables.clock[column] += now - tables.clock[EARLIER]
        tables.clock[EARLIER] = now

    return lap


def _cycles() -> Callable[..., Any]:
    if DEBUG:
        return time.perf_counter_ns
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def cycles(typingctx):  # pyright: ignore
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.FunctionType(ir.IntType(64), [])
            return builder.call(builder.module.declare_intrinsic("llvm.readcyclecounter", fnty=kind), [])

        return types.int64(), emit

    return cycles


cycles = _cycles()
"""The processor's clock."""
