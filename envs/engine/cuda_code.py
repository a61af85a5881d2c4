"""What the compilers make of a world's CUDA kernel: PTX, registers, spills. Needs no GPU."""

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from envs.engine.compile import driver_file, fingerprint
from envs.engine.cuda import as_on_the_cpu, namespace
from envs.engine.cuda_driver import cuda_source
from envs.engine.cuda_llvm import compile_ir
from envs.engine.rules import World, param_records, record_dtype


class Code(NamedTuple):
    """A kernel's machine code in figures."""

    registers: int
    """A thread uses at most."""
    stack: int
    """Bytes of a thread."""
    spills: int
    """Bytes that a thread writes to memory and reads back for want of registers."""
    size: int
    """Bytes of machine code."""


def lowered(world: World, capability: tuple[int, int] = (9, 0)) -> list[str]:
    """The kernel and all that it reaches as modules of LLVM's assembly, not yet optimised."""
    from numba.cuda import compile as compile_for  # pyright: ignore[reportPrivateImportUsage]

    modules: list[str] = []

    def keep(given: list[str], **options: Any) -> bytes:
        modules.extend(given)
        return b""

    source, rules = cuda_source(world)
    path, _ = driver_file(f"{world.name}-cuda", fingerprint(world, source, rules), source)
    with _pretending(capability), as_on_the_cpu(keep):
        drive = namespace(world, rules, lambda function: function, path)["drive"]
        compile_for(drive, _signature(world), device=False, cc=capability, abi="numba", output="ptx")
    return modules


def ptx(modules: list[str], capability: tuple[int, int]) -> str:
    """A lowered kernel as PTX for a compute capability, such as (9, 0)."""
    return compile_ir(modules, arch=f"compute_{capability[0]}{capability[1]}").decode()


def assemble(code: str, capability: tuple[int, int], registers: int | None = None) -> Code:
    """What nvJitLink makes of PTX, with so many registers a thread at most.

    Raises:
        cuda.bindings.nvjitlink.nvJitLinkError: it is no PTX for that capability.
    """
    nvjitlink: Any = importlib.import_module("cuda.bindings.nvjitlink")
    options = [f"-arch=sm_{capability[0]}{capability[1]}", "-verbose"]
    options += [f"-maxrregcount={registers}"] if registers else []
    handle = nvjitlink.create(len(options), options)
    try:
        data = code.encode()
        nvjitlink.add_data(handle, nvjitlink.InputType.PTX, data, len(data), "kernel")
        nvjitlink.complete(handle)
        log = bytearray(nvjitlink.get_info_log_size(handle))
        nvjitlink.get_info_log(handle, log)
        size = nvjitlink.get_linked_cubin_size(handle)
    finally:
        nvjitlink.destroy(handle)
    said = log.decode(errors="replace")
    used = re.search(r"used (\d+) registers.*?, (\d+) stack", said)
    assert used is not None, f"nvJitLink said nothing of registers: {said}"
    spills = sum(int(count) for count in re.findall(r"(\d+) bytes spill", said))
    return Code(int(used[1]), int(used[2]), spills, size)


@contextmanager
def _pretending(capability: tuple[int, int]) -> Iterator[None]:
    """As if the current device had the capability: numba-cuda asks it when a kernel calls a device function."""
    from numba.cuda import dispatcher

    asked: Any = dispatcher
    usual = asked.get_current_device
    asked.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
    try:
        yield
    finally:
        asked.get_current_device = usual


def _signature(world: World) -> tuple[Any, ...]:
    """The types of the arguments of `drive`."""
    from numba import from_dtype, types

    def array(dtype: Any, ndim: int) -> types.Array:
        return types.Array(from_dtype(np.dtype(dtype)), ndim, "C")

    obs = array(world.observation_space.dtype, 1 + len(world.observation_space.shape or ()))
    actions = array(np.float32 if isinstance(world.action_space, spaces.Box) else np.int64, 2)
    reals, flags, ints = array(np.float32, 1), array(np.bool_, 1), array(np.int32, 1)
    tables = (array(table.dtype, 1) for table in world.tables.values())
    results = obs, reals, flags, flags, array(np.bool_, 2), obs, reals, array(np.int64, 1), array(np.float32, 2)
    records, params = array(record_dtype(world), 1), array(param_records(world).dtype, 1)
    return records, params, *tables, ints, types.int32, ints, actions, *results
