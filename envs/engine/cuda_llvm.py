"""From lowered rules to PTX, by the LLVM that numba brings: a kernel passes through the optimiser of the CPU's drivers.

numba-cuda hands its code to NVIDIA's libNVVM, whose optimiser is fifteen versions of LLVM older: of an arena it made
twice as many instructions (loops that count by 64 bits, ranges that are never seen to have an end), for which a
multiprocessor waited four fifths of its time.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import llvmlite.binding as llvm

INLINING = 225
"""How large a function may be, in LLVM's measure, that is copied to where it is called; LLVM's own -O2."""

PRECISE = "-nvvm-reflect-add=__CUDA_PREC_SQRT=1"
"""What libdevice asks when it is linked: square roots are rounded correctly."""


def compile_ir(modules: Sequence[str], *, arch: str, **options: Any) -> bytes:
    """PTX of one kernel and the functions that it reaches; stands in for the function of this name in numba-cuda.

    Nothing is fused, vectorised or approximated, so that numbers are those of the CPU.

    Args:
        modules: LLVM's assembly; one of them defines the kernel.
        arch: the compute capability that it is for, such as "compute_90".
        options: libNVVM's, which mean nothing here.

    Raises:
        RuntimeError: this LLVM can't compile for NVIDIA's GPUs, or a module is wrong.
    """
    machine = gpu(arch)
    return machine.emit_assembly(optimized(modules, machine)).encode()


@cache
def gpu(arch: str) -> llvm.TargetMachine:
    """What LLVM knows of GPUs of a compute capability, such as "compute_90"."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    llvm.set_option("", PRECISE)
    target = llvm.Target.from_triple("nvptx64-nvidia-cuda")
    return target.create_target_machine(cpu=arch.replace("compute_", "sm_"), opt=3)


def optimized(modules: Sequence[str], machine: llvm.TargetMachine) -> llvm.ModuleRef:
    """All modules as one, after LLVM's -O2 without vectors and without repeating bodies of loops of unknown length."""
    whole = _linked(modules, machine)
    tuning = llvm.create_pipeline_tuning_options(speed_level=2)
    tuning.inlining_threshold = INLINING
    tuning.loop_vectorization = tuning.slp_vectorization = tuning.loop_interleaving = tuning.loop_unrolling = False
    passes = llvm.create_pass_builder(machine, tuning)
    passes.getModulePassManager().run(whole, passes)
    return whole


def _linked(modules: Sequence[str], machine: llvm.TargetMachine) -> llvm.ModuleRef:
    """The modules, and what they use of libdevice, as one that shows nothing but its kernel."""
    layout = str(machine.target_data)
    whole = llvm.parse_assembly("")
    for module in map(llvm.parse_assembly, dict.fromkeys(modules)):  # a function comes once for each that calls it
        module.data_layout = layout
        whole.link_in(module)
    if any(function.is_declaration and function.name.startswith("__nv_") for function in whole.functions):
        whole.link_in(_libdevice(layout))
    whole.triple, whole.data_layout = machine.triple, layout
    for function in whole.functions:
        if not function.is_declaration:  # it may reach a barrier, until LLVM has seen that it doesn't
            function.add_function_attribute("convergent")
    for value in (*whole.functions, *whole.global_variables):
        if value.linkage in (llvm.Linkage.linkonce_odr, llvm.Linkage.common) or value.name.startswith("__nv_"):
            value.linkage = llvm.Linkage.internal
    return whole


def _libdevice(layout: str) -> llvm.ModuleRef:
    """NVIDIA's functions such as square roots."""
    from numba.cuda.cudadrv.libs import open_libdevice  # pyright: ignore[reportMissingImports]

    module = llvm.parse_bitcode(open_libdevice())
    module.data_layout = layout
    return module
