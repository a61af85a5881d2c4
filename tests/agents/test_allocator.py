"""Memory that is freed is kept."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from agents.allocator import BLOCK, keep_memory
if sys.argv[1] == "kept":
    keep_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        blocks = [torch.empty(BLOCK // 2, dtype=torch.uint8).fill_(1) for _ in range(3)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults() * resource.getpagesize() / BLOCK)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_blocks_are_not_given_back_and_cleared_anew() -> None:
    def blocks_cleared(how: str, **environ: str) -> float:
        command = [sys.executable, "-c", FAULTS, how]
        return float(subprocess.run(command, check=True, capture_output=True, text=True, env=environ or None).stdout)

    assert blocks_cleared("kept") < 1
    assert blocks_cleared("kept", MALLOC_TRIM_THRESHOLD_="131072", MALLOC_MMAP_THRESHOLD_="131072") > 15
