"""A world's CUDA kernel as code of this machine's processor: what was lowered, linked and optimised for a GPU, to the
last step before PTX, played by a thread of the operating system for each of a block's."""

import ctypes
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from envs.engine.cuda_driver import launch_shape
from envs.engine.cuda_llvm import gpu, optimized
from envs.engine.rules import World

REGISTERS = [f"{register}.{axis}" for register in ("tid", "ntid", "ctaid") for axis in "xyz"]
IN_PLACE = {f"llvm.nvvm.read.ptx.sreg.{name}": f"read.{name}" for name in REGISTERS} | {
    "llvm.nvvm.sqrt.rn.f": "llvm.sqrt.f32",
    "llvm.nvvm.fmax.f": "llvm.maxnum.f32",
    "llvm.nvvm.fmin.f": "llvm.minnum.f32",
    "llvm.nvvm.fabs.f32": "llvm.fabs.f32",
    "llvm.nvvm.barrier.cta.sync.aligned.all": "barrier",
    "llvm.nvvm.barrier.cta.red.or.aligned.all": "anyone",
}
"""What a GPU has of its own, and what does it here."""
BARRIER = """
@anyone_did = internal global i32 0
declare i32 @pthread_barrier_wait(ptr)
define internal i32 @wait() {{
  %last = call i32 @pthread_barrier_wait(ptr inttoptr (i64 {barrier} to ptr))
  ret i32 %last
}}
define internal void @barrier(i32 %number) {{
  call i32 @wait()
  ret void
}}
define internal i1 @anyone(i32 %number, i1 %did) {{
  %mine = zext i1 %did to i32
  atomicrmw or ptr @anyone_did, i32 %mine seq_cst
  call i32 @wait()
  %all = load atomic i32, ptr @anyone_did seq_cst, align 4
  %last = call i32 @wait()
  %cleans = icmp ne i32 %last, 0
  br i1 %cleans, label %clean, label %done
clean:
  store atomic i32 0, ptr @anyone_did seq_cst, align 4
  br label %done
done:
  call i32 @wait()
  %any = icmp ne i32 %all, 0
  ret i1 %any
}}
"""
READ = """
define internal i32 @read.{name}() {{
  %read = inttoptr i64 {address} to ptr
  %value = call i32 %read()
  ret i32 %value
}}
"""


class HostKernel:
    """Takes the place of `cuda.Kernel`, where arrays are NumPy's.

    Args:
        world: the world.
        num_worlds: copies of it that are played.
        modules: its lowered kernel.
    """

    def __init__(self, world: World, num_worlds: int, modules: list[str]) -> None:
        self.blocks, shape = launch_shape(world, num_worlds)
        self.shape = (*(shape if isinstance(shape, tuple) else (shape, 1)), 1)
        self._here = threading.local()
        self._barrier = ctypes.create_string_buffer(64)
        libc = ctypes.CDLL(None)
        libc.pthread_barrier_init(self._barrier, None, int(np.prod(self.shape)))
        self._reads = {name: ctypes.CFUNCTYPE(ctypes.c_int32)(self._reader(name)) for name in REGISTERS}
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.add_symbol("pthread_barrier_wait", ctypes.cast(libc.pthread_barrier_wait, ctypes.c_void_p).value)
        machine = llvm.Target.from_default_triple().create_target_machine(opt=2)
        self._engine = llvm.create_mcjit_compiler(self._for_this_machine(modules, machine), machine)
        self._pool = ThreadPoolExecutor(int(np.prod(self.shape)))

    def _reader(self, name: str) -> Any:
        register, axis = name.split(".")
        return lambda: getattr(self._here, register)["xyz".index(axis)]

    def _for_this_machine(self, modules: list[str], machine: llvm.TargetMachine) -> llvm.ModuleRef:
        whole = str(optimized(modules, gpu("compute_90")))
        lines = [line for line in whole.splitlines() if not re.match("declare.*llvm[.]nvvm|target ", line)]
        text = re.sub("@(llvm[.]nvvm[.][a-z0-9.]+)", lambda found: "@" + IN_PLACE[found[1]], "\n".join(lines))
        text = text.replace("define ptx_kernel void", "define void").replace("call ptx_kernel void", "call void")
        for used in sorted(set(re.findall("@(llvm[.](?:sqrt|fabs|maxnum|minnum)[.]f32)", text))):
            two = ", float" if "num" in used else ""
            text += "" if f"declare float @{used}" in text else f"\ndeclare float @{used}(float{two})"
        text += BARRIER.format(barrier=ctypes.addressof(self._barrier))
        for name, read in self._reads.items():
            text += READ.format(name=name, address=ctypes.cast(read, ctypes.c_void_p).value)
        module = llvm.parse_assembly(text)
        module.triple, module.data_layout = llvm.get_default_triple(), str(machine.target_data)
        self._name = next(function.name for function in module.functions if "drive" in function.name)
        return module

    def __call__(self, *arguments: Any) -> None:
        """A step, block by block."""
        given = [part for argument in arguments for part in _parts(argument)]
        address = self._engine.get_function_address(self._name)
        drive = ctypes.CFUNCTYPE(None, *(type(part) for part in given))(address)

        def play(block: int, thread: tuple[int, ...]) -> None:
            self._here.tid, self._here.ntid, self._here.ctaid = thread, self.shape, (block, 0, 0)
            drive(*given)

        threads = [position[::-1] for position in product(*map(range, self.shape[::-1]))]
        for block in range(self.blocks):
            list(self._pool.map(play, [block] * len(threads), threads))


def _parts(argument: Any) -> list[Any]:
    """An argument as kernels take it: an array as two pointers of no use, its sizes, its memory, shape and strides."""
    if not isinstance(argument, np.ndarray):
        return [ctypes.c_int32(int(argument))]
    sizes = [ctypes.c_int64(size) for size in (argument.size, argument.itemsize)]
    shape = [ctypes.c_int64(size) for size in (*argument.shape, *argument.strides)]
    return [ctypes.c_void_p(), ctypes.c_void_p(), *sizes, ctypes.c_void_p(argument.ctypes.data), *shape]
