"""Threads that share out the worlds of a batch; kernels hold no lock while they run."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

_POOLS: list[ThreadPoolExecutor] = []


def share_out(run: Callable[[int, int], int], count: int, num_threads: int) -> int:
    """Calls `run(first, last)` for `num_threads` parts of 0..count at once and adds up what they return.

    The caller's thread takes the last part. Any number of threads may call this at the same time.
    """
    bounds = [part * count // num_threads for part in range(num_threads + 1)]
    parts = [_pool().submit(run, bounds[i], bounds[i + 1]) for i in range(num_threads - 1)]
    total = run(bounds[-2], bounds[-1])
    return total + sum(part.result() for part in parts)


def _pool() -> ThreadPoolExecutor:
    if not _POOLS:
        _POOLS.append(ThreadPoolExecutor(os.cpu_count() or 1, "quintet"))
    return _POOLS[0]


os.register_at_fork(after_in_child=_POOLS.clear)
