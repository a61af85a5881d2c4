"""A world's CUDA kernel: the same rules, lowered by numba-cuda, launched on torch's stream over torch's memory.

Multiplications and additions are never fused and square roots and divisions are rounded correctly (`cuda_llvm.py`), so
that a game is the same, byte by byte, as on a CPU.
"""

import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from envs.engine.compile import check_unchanged, driver_file, fingerprint
from envs.engine.cuda_driver import cuda_source, launch_shape, max_registers
from envs.engine.cuda_llvm import compile_ir
from envs.engine.driver import constants
from envs.engine.fixed import fixing
from envs.engine.linking import from_the_front
from envs.engine.rules import Rule, World, param_records

NEEDED = "numba-cuda, which the extra brings: pip install 'quintet[cuda]'"

_LOADED: dict[str, Any] = {}
_ONE_AT_A_TIME = threading.RLock()

if not hasattr(np, "row_stack"):  # NumPy 2.5 has dropped what numba-cuda 0.30 names when it loads
    np.row_stack = np.vstack  # pyright: ignore


def require() -> None:
    """Holds that worlds can run on a GPU here.

    Raises:
        ValueError: there is no numba-cuda, no GPU, or no CUDA in torch; says what to do.
    """
    if importlib.util.find_spec("numba_cuda") is None:
        raise ValueError(f'device="cuda" needs {NEEDED}; or use device="cpu"')
    from numba import cuda

    if not simulated() and not (torch.cuda.is_available() and cuda.is_available()):
        found = "torch is built without CUDA" if torch.version.cuda is None else "no NVIDIA GPU with its driver is here"
        raise ValueError(f'device="cuda" needs a GPU: {found}; use device="cpu"')


def simulated() -> bool:
    """Whether kernels run in numba's simulator, on the CPU (NUMBA_ENABLE_CUDASIM=1)."""
    from numba import config

    return bool(getattr(config, "ENABLE_CUDASIM", False))


class Kernel:
    """One world's kernel for a batch of `num_worlds`; called as the CPU's `drive`, without the range of worlds."""

    def __init__(self, world: World, num_worlds: int) -> None:
        self._drive, check = _driver(world)
        self._check: Callable[[], None] | None = check
        self._shape = launch_shape(world, num_worlds)

    def __call__(self, *arguments: Any) -> None:
        """Queues a step on torch's current stream; arrays are of `array`."""
        if self._check is not None:  # the first call compiles
            self._check()
            self._check = None
        stream = 0 if simulated() else _stream()
        with as_on_the_cpu():
            self._drive[(*self._shape, stream)](*arguments)


def _stream() -> Any:
    from numba import cuda

    return cuda.external_stream(torch.cuda.current_stream().cuda_stream)


def array(tensor: torch.Tensor, dtype: np.dtype | None = None) -> Any:
    """A tensor's memory as kernels take it; `dtype` reinterprets flat bytes as records."""
    if not tensor.numel():  # nothing reads it, and there is no memory to point to
        tensor = tensor.new_zeros([max(size, 1) for size in tensor.shape])
    if simulated():
        values = tensor.numpy()
    else:
        from numba import cuda

        values = cuda.as_cuda_array(tensor)
    return values if dtype is None else values.view(dtype)


def table(values: np.ndarray, device: torch.device) -> Any:
    """A world's table as kernels take it, copied to the device."""
    values = np.ascontiguousarray(values)
    return array(torch.from_numpy(values.view(np.uint8).copy()).to(device), values.dtype)


def select(device: torch.device) -> torch.device:
    """The device with its number; numba works on it from here on. In the simulator, the CPU."""
    if simulated():
        return torch.device("cpu")
    from numba import cuda

    index = torch.cuda.current_device() if device.index is None else device.index
    if index >= torch.cuda.device_count():
        raise ValueError(f"device={str(device)!r} is not here; there are {torch.cuda.device_count()} GPUs")
    torch.cuda.set_device(index)
    torch.cuda.init()
    cuda.select_device(index)
    return torch.device("cuda", index)


def _driver(world: World) -> tuple[Any, Callable[[], None]]:
    """The kernel, which keeps what it compiles on disk, beside the CPU's, and what is to be asked before it does."""
    from numba import config

    config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # pyright: ignore[reportAttributeAccessIssue]
    if simulated():
        _share_memory()
    source, rules = cuda_source(world, has_warps=not simulated())
    limit = {"max_registers": registers} if (registers := max_registers(world)) else {}
    digest = fingerprint(world, f"{source}{limit}", rules)
    if digest not in _LOADED:
        path, cached = driver_file(f"{world.name}-cuda", digest, source)

        def kernel(function: Callable[..., Any]) -> Any:
            return jit(function, cache=cached, **limit)

        _LOADED[digest] = namespace(world, rules, kernel, path)["drive"]
    return _LOADED[digest], lambda: check_unchanged(world, digest, f"{source}{limit}", rules)


def _share_memory() -> None:
    """Gives all threads of a simulated block the same shared array, of which a kernel has one.

    (In numba-cuda 0.30 two threads that ask at the same moment may each get their own.)
    """
    from numba.cuda.simulator.kernelapi import FakeCUDAShared  # pyright: ignore[reportMissingImports]

    def array(self: Any, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        return self._allocations.setdefault("array", np.empty(shape, dtype))

    FakeCUDAShared.array = array


def jit(function: Callable[..., Any], **options: Any) -> Any:
    """A function compiled for CUDA, without link-time optimisation: that would fuse what `as_on_the_cpu` keeps apart.

    (numba-cuda 0.30 forgets `lto=False` where it is used as a decorator with options.)
    """
    from numba import cuda

    if simulated():
        return cuda.jit(function, device=options.get("device", False))
    return cuda.jit(function, lto=False, **options)


def namespace(world: World, rules: dict[str, Rule], kernel: Callable[..., Any], path: Path) -> dict[str, Any]:
    """What the driver's file defines, with `kernel` as the decorator of its entry point."""
    from numba import cuda

    spec = importlib.util.spec_from_file_location(f"quintet_{path.parent.name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)

    def device(function: Callable[..., Any]) -> Any:
        return jit(function, device=True, forceinline=True)

    fixed = (lambda row: row) if simulated() else fixing(param_records(world), world.fixed, cuda=True)
    given = {"cuda": cuda, "device": device, "kernel": kernel, "fixed": fixed}
    vars(module).update(constants(world) | rules | given)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return vars(module)


@contextmanager
def as_on_the_cpu(compile_ir: Callable[..., bytes] = compile_ir) -> Iterator[None]:
    """While this lasts, numba-cuda compiles by `compile_ir`, and takes indices as they are.

    It has no options for that.
    """
    if simulated():
        yield
        return
    from numba.cuda.cudadrv import nvvm
    from numba.cuda.np import arrayobj  # pyright: ignore[reportMissingImports]

    with _ONE_AT_A_TIME:
        usual = nvvm.compile_ir
        nvvm.compile_ir = compile_ir
        try:
            with from_the_front(arrayobj):
                yield
        finally:
            nvvm.compile_ir = usual
