"""A world's CUDA kernel as code of this machine's processor: for tests and for counting, where there is no GPU.

What was lowered, linked and optimised for a GPU, to the last step before PTX, is played by a thread of the operating
system for each of a block's; those of a warp wait for each other alone where a warp's do. Counted, each stretch of code
that is entered and left as a whole notes how often a thread ran it; a warp runs it as often as the thread of its that
ran it most.
"""

import ctypes
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np

from envs.engine.cuda_driver import WARP, launch_shape, phase_names
from envs.engine.cuda_llvm import gpu, optimized
from envs.engine.driver import DISABLED
from envs.engine.rules import World
from envs.engine.vector import AT_ENDS, RESULTS, WorldVectorEnv

REGISTERS = [f"{register}.{axis}" for register in ("tid", "ntid", "ctaid") for axis in "xyz"]
IN_PLACE = {f"llvm.nvvm.read.ptx.sreg.{name}": f"read.{name}" for name in REGISTERS} | {
    "llvm.nvvm.sqrt.rn.f": "llvm.sqrt.f32",
    "llvm.nvvm.fmax.f": "llvm.maxnum.f32",
    "llvm.nvvm.fmin.f": "llvm.minnum.f32",
    "llvm.nvvm.fabs.f32": "llvm.fabs.f32",
    "llvm.nvvm.barrier.cta.sync.aligned.all": "barrier",
    "llvm.nvvm.bar.warp.sync": "warp",
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
define internal void @warp(i32 %mask) {{
  %number = call i32 @read.tid.y()
  %offset = mul i32 %number, {size}
  %own = getelementptr i8, ptr inttoptr (i64 {warps} to ptr), i32 %offset
  call i32 @pthread_barrier_wait(ptr %own)
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
COUNT = """
declare ptr @pthread_getspecific(i32)
define internal void @count(i32 %block) {{
  %counts = call ptr @pthread_getspecific(i32 {key})
  %phase = load i32, ptr %counts
  %first = mul i32 %phase, {blocks}
  %before = add i32 %first, %block
  %place = add i32 %before, 1
  %count = getelementptr i32, ptr %counts, i32 %place
  %old = load i32, ptr %count
  %new = add i32 %old, 1
  store i32 %new, ptr %count
  ret void
}}
define internal void @count_barrier(i32 %number) {{
  %counts = call ptr @pthread_getspecific(i32 {key})
  %old = load i32, ptr %counts
  %new = add i32 %old, 1
  store i32 %new, ptr %counts
  ret void
}}
"""
"""A thread's counts: of barriers, then for each phase of each block of code."""
BARRIER_BYTES = 64
"""Of one of the system's barriers, at most."""
MORE = 64
"""Barriers that a step in which a game ends has beside the others, at most."""


class Counts(NamedTuple):
    """Instructions by phase, float `[phases]`, as LLVM's assembly has them, of all the steps that were counted."""

    warps: np.ndarray
    """What warps ran, at the least: threads that part for a while are taken to come together again at once."""
    threads: np.ndarray
    """What threads ran; by `warps`, how many of 32 were at work."""
    worlds: int
    """Steps of a world that were counted; a step in which a game ended is not."""


class HostKernel:
    """Takes the place of `cuda.Kernel`, where arrays are NumPy's.

    Args:
        world: the world.
        num_worlds: copies of it that are played.
        modules: its lowered kernel.
        counted: count what is run; a world's steps are one tick, and a warp plays it.
    """

    def __init__(self, world: World, num_worlds: int, modules: list[str], counted: bool = False) -> None:
        self.blocks, shape = launch_shape(world, num_worlds)
        self.shape = (*(shape if isinstance(shape, tuple) else (shape, 1)), 1)
        self._here = threading.local()
        self._libc = ctypes.CDLL(None)
        self._barrier = self._barriers(1, int(np.prod(self.shape)))
        self._warps = self._barriers(self.shape[1], self.shape[0])
        self._reads = {name: ctypes.CFUNCTYPE(ctypes.c_int32)(self._reader(name)) for name in REGISTERS}
        for name in ("pthread_barrier_wait", "pthread_getspecific"):
            llvm.add_symbol(name, ctypes.cast(getattr(self._libc, name), ctypes.c_void_p).value)
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(opt=2)
        text = self._for_this_machine(modules)
        self._tally = Tally(world, int(np.prod(self.shape)), self._libc) if counted else None
        if self._tally:
            text = self._tally.noting(text)
        module = llvm.parse_assembly(text)
        module.triple, module.data_layout = llvm.get_default_triple(), str(machine.target_data)
        self._name = next(function.name for function in module.functions if "drive" in function.name)
        self._engine = llvm.create_mcjit_compiler(module, machine)
        self._pool = ThreadPoolExecutor(int(np.prod(self.shape)))

    def _barriers(self, count: int, threads: int) -> Any:
        """Barriers side by side, of so many threads each."""
        kept = ctypes.create_string_buffer(count * BARRIER_BYTES)
        for number in range(count):
            place = ctypes.c_void_p(ctypes.addressof(kept) + number * BARRIER_BYTES)
            self._libc.pthread_barrier_init(place, None, threads)
        return kept

    def _reader(self, name: str) -> Any:
        register, axis = name.split(".")
        return lambda: getattr(self._here, register)["xyz".index(axis)]

    def _for_this_machine(self, modules: list[str]) -> str:
        whole = str(optimized(modules, gpu("compute_90")))
        lines = [line for line in whole.splitlines() if not re.match("declare.*llvm[.]nvvm|target ", line)]
        text = re.sub("@(llvm[.]nvvm[.][a-z0-9.]+)", lambda found: "@" + IN_PLACE[found[1]], "\n".join(lines))
        text = text.replace("define ptx_kernel void", "define void").replace("call ptx_kernel void", "call void")
        for used in sorted(set(re.findall("@(llvm[.](?:sqrt|fabs|maxnum|minnum)[.]f32)", text))):
            two = ", float" if "num" in used else ""
            text += "" if f"declare float @{used}" in text else f"\ndeclare float @{used}(float{two})"
        barrier, warps = ctypes.addressof(self._barrier), ctypes.addressof(self._warps)
        text += BARRIER.format(barrier=barrier, warps=warps, size=BARRIER_BYTES)
        for name, read in self._reads.items():
            text += READ.format(name=name, address=ctypes.cast(read, ctypes.c_void_p).value)
        return text

    def __call__(self, *arguments: Any) -> None:
        """A step, block by block."""
        given = [part for argument in arguments for part in _parts(argument)]
        address = self._engine.get_function_address(self._name)
        drive = ctypes.CFUNCTYPE(None, *(type(part) for part in given))(address)

        def play(block: int, number: int, thread: tuple[int, ...]) -> None:
            self._here.tid, self._here.ntid, self._here.ctaid = thread, self.shape, (block, 0, 0)
            if self._tally:
                self._tally.give(number)
            drive(*given)

        threads = [position[::-1] for position in product(*map(range, self.shape[::-1]))]
        for block in range(self.blocks):
            list(self._pool.map(play, [block] * len(threads), range(len(threads)), threads))
            if self._tally:
                self._tally.take()

    def step(self, worlds: WorldVectorEnv, actions: np.ndarray) -> dict[str, np.ndarray]:
        """Steps the worlds of a batch for the CPU where they lie; one that has ended stays as it is.

        Args:
            worlds: they have begun.
            actions: int64 or float32 `[num_envs, parts]`.

        Returns:
            By name what a step gives, with rows of zeros where there is nothing to say.
        """
        results = {name: np.zeros(*worlds._asked[name]) for name in (*RESULTS, *AT_ENDS)}
        self(*worlds._fixed, np.int32(DISABLED), np.zeros(1, np.int32), actions, *results.values())
        return results

    def counts(self) -> Counts:
        """What was counted since the last call."""
        assert self._tally is not None
        return self._tally.so_far()


class Tally:
    """Counts how often a block's threads run which piece of code, in which phase.

    Args:
        world: the world.
        threads: of a block.
        libc: the C library, which gives each thread its counts.
    """

    def __init__(self, world: World, threads: int, libc: Any) -> None:
        self.phases, self.threads, self.libc = len(phase_names(world)), threads, libc
        self.key = ctypes.c_uint()
        libc.pthread_key_create(ctypes.byref(self.key), None)
        libc.pthread_setspecific.argtypes = [ctypes.c_uint, ctypes.c_void_p]

    def noting(self, text: str) -> str:
        """The same assembly with a call at the start of each piece of code and at each barrier."""
        lines: list[str] = []
        sizes: list[int] = []
        entered, counting = False, False
        for line in text.splitlines():
            code = line.strip()
            if line.startswith("define "):
                counting = entered = not re.search("@(barrier|warp|anyone|wait|read[.])", line)
            elif code == "}":
                counting = entered = False
            elif counting and re.match(r'("[^"]+"|[-\w$.]+):', line):
                entered = True
            elif counting and code and " = phi " not in line:
                if entered:
                    lines.append(f"  call void @count(i32 {len(sizes)})")
                    sizes.append(0)
                entered = False
                sizes[-1] += 1
                if re.search("@(barrier|warp|anyone)[(]", line):
                    lines.append("  call void @count_barrier(i32 0)")
            lines.append(line)
        self.sizes = np.array(sizes)
        places = self.sizes.size * (self.phases + MORE)
        self._counts = np.zeros((self.threads, 1 + places), np.uint32)
        self._clear()
        return "\n".join(lines) + COUNT.format(key=self.key.value, blocks=self.sizes.size)

    def give(self, thread: int) -> None:
        """Tells the calling thread where its counts are."""
        self.libc.pthread_setspecific(self.key.value, self._counts[thread].ctypes.data)

    def take(self) -> None:
        """Adds up what the threads of a block have counted, unless a game ended in it."""
        if (self._counts[:, 0] == self.phases - 1).all():
            each = self._counts[:, 1:].reshape(-1, WARP, self.phases + MORE, self.sizes.size)[:, :, : self.phases]
            self._warps += (each.max(axis=1).sum(axis=0) * self.sizes).sum(axis=1)
            self._threads += (each.sum(axis=(0, 1)) * self.sizes).sum(axis=1)
            self._worlds += len(each)
        self._counts[:] = 0

    def so_far(self) -> Counts:
        """What was added up; it begins anew."""
        found = Counts(self._warps, self._threads, self._worlds)
        self._clear()
        return found

    def _clear(self) -> None:
        self._warps, self._threads, self._worlds = np.zeros(self.phases), np.zeros(self.phases), 0


def _parts(argument: Any) -> list[Any]:
    """An argument as kernels take it: an array as two pointers of no use, its sizes, its memory, shape and strides."""
    if not isinstance(argument, np.ndarray):
        return [ctypes.c_int32(int(argument))]
    sizes = [ctypes.c_int64(size) for size in (argument.size, argument.itemsize)]
    shape = [ctypes.c_int64(size) for size in (*argument.shape, *argument.strides)]
    return [ctypes.c_void_p(), ctypes.c_void_p(), *sizes, ctypes.c_void_p(argument.ctypes.data), *shape]
