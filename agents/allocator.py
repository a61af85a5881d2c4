"""What the C library does with memory that tensors free."""

import ctypes
import functools
import os
import sys

KEPT, BLOCK = 256 << 20, 32 << 20
"""Bytes that are kept in all, and of the largest block among them."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h


@functools.cache
def keep_memory() -> None:
    """Has glibc keep what is freed for whatever asks next.

    By itself it gives larger blocks back to the system, which hands them out again page by page, cleared: in updates of
    some thousand steps that is a tenth to a third of the time. Elsewhere than on Linux with glibc nothing changes, nor
    where the environment says something of its own (`MALLOC_TRIM_THRESHOLD_`, `MALLOC_MMAP_THRESHOLD_`).
    """
    own = any(name in os.environ for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"))
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" and not own else None
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, KEPT)
        mallopt(_MMAP_THRESHOLD, BLOCK)
