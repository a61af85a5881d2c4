"""One training run in several processes, as torch's `torchrun` starts them; in one process nothing here does anything.

Each process, a rank, steps worlds of its own and has the same weights. Whatever all must agree on goes through this
file, so that a learner reads as one that is alone. All ranks must call these functions, in the same order.
"""

import atexit
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

TIMEOUT = 1800.0
"""Seconds that a rank waits for the others, who may be evaluating; QUINTET_TIMEOUT sets another number."""
NEEDED = ("RANK", "MASTER_ADDR", "MASTER_PORT")

T = TypeVar("T")


class Lost(Exception):
    """Another rank has ended, or does not answer."""


class Refused(Exception):
    """The processes can't become one run; the message tells why and what to do."""


def join() -> None:
    """Makes this process one of a run, if it was started as one; only the first rank's prints are shown from then on.

    Raises:
        Refused: the environment says half of what is needed, or the others don't come.
    """
    if int(os.environ.get("WORLD_SIZE") or 1) == 1 or dist.is_initialized():
        return
    if missing := [name for name in NEEDED if name not in os.environ]:
        given = os.environ["WORLD_SIZE"]
        raise Refused(f"WORLD_SIZE is {given}, but {', '.join(missing)} is not set; start with torchrun, or unset it")
    engines = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        limit = timedelta(seconds=float(os.environ.get("QUINTET_TIMEOUT") or TIMEOUT))
        dist.init_process_group(engines, timeout=limit)
    except (RuntimeError, ValueError) as error:
        raise Refused(f"the processes can't find each other: {_line(error)}; start all with torchrun") from error
    atexit.register(leave)
    if rank():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115


def take_device() -> None:
    """Gives this rank a CUDA device of its own, by its number on its machine.

    Raises:
        Refused: there are too few.
    """
    number, count = int(os.environ.get("LOCAL_RANK") or 0), torch.cuda.device_count()
    if number >= count:
        raise Refused(f"process {number} of this machine has no CUDA device, there are {count}; start fewer processes")
    torch.cuda.set_device(number)


def leave() -> None:
    """Ends what `join` began, without waiting for the others, as the end of the process does too."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """The number of this process, 0 for the first: who writes, shows and evaluates."""
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def seed(number: int) -> int:
    """A seed of each rank's own, and the number itself for the first."""
    return number + 1_000_003 * rank()


@contextmanager
def _told() -> Any:
    """Names what torch's engines raise when a rank is gone."""
    try:
        yield
    except RuntimeError as error:
        raise Lost(
            f"process {rank()} of {size()}: another process of this run has ended or does not answer ({_line(error)})"
        ) from error


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def average_gradients(grad: Tensor, count: float | Tensor) -> None:
    """The mean over all ranks, in place, each weighted by how many samples its own is the mean of; one all-reduce.
    Zeros where there are none.

    Args:
        grad: `[P]`, all gradients laid flat; whatever it is where `count` is 0.
        count: of samples.
    """
    if size() == 1:
        return
    number = torch.as_tensor(count, dtype=grad.dtype, device=grad.device).view(1)
    weighted = torch.cat([torch.where(number > 0, grad * number, 0), number])
    with _told():
        dist.all_reduce(weighted)
    torch.div(weighted[:-1], weighted[-1].clamp(min=1), out=grad)


CACHED = 1 << 15
"""Numbers of float64 that stay in a core's cache."""


def moments(values: Tensor, weights: Tensor | None = None) -> tuple[Any, Tensor, Tensor]:
    """Number, mean and variance (of the whole population) of the rows `[n, ...]` of all ranks, float64.

    Mean and variance of no rows are 0. They are the same to the bit on every rank, merged in the ranks' order (Chan et
    al., "Updating formulae and a pairwise algorithm for computing sample variances", 1979). Weights `[n]`, each 0 or 1,
    say which rows count; None: all.
    """
    shape = values.shape[1:]
    total, mean, var = _merged([_packed(values.reshape(len(values), shape.numel()), weights)])
    return total[0, 0], mean.view(shape), var.view(shape)


def _merged(groups: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Numbers `[K, 1]`, means and variances `[K, D]` of K groups of rows, each `_packed`, in one message."""
    mine = torch.stack(groups)
    parts = [mine]
    if size() > 1:
        parts = [torch.empty_like(mine) for _ in range(size())]
        with _told():
            dist.all_gather(parts, mine)
    columns = mine.shape[1] // 2
    total, mean, squares = parts[0].split([1, columns, columns], dim=1)
    for part in parts[1:]:
        number, its_mean, its_squares = part.split([1, columns, columns], dim=1)
        before, total = total, total + number
        share = number / total.clamp(min=1)
        delta = its_mean - mean
        mean = mean + delta * share
        squares = squares + its_squares + delta.square() * before * share
    return total, mean, squares / total.clamp(min=1)


def _packed(rows: Tensor, weights: Tensor | None = None) -> Tensor:
    """Number, means and sums of squared differences from them: `[n, D]` -> float64 `[1 + 2 D]`.

    In one pass, a piece of the rows at a time that stays in a core's cache (all of them on a GPU), over differences
    from a number near the mean, so that the squares lose nothing (Chan et al., 1983, "Algorithms for computing the
    sample variance", section 3).

    Weights `[n]`, each 0 or 1, say which rows count.
    """
    counts = torch.ones_like(rows[:, :1]) if weights is None else weights.to(rows.dtype).unsqueeze(1)
    number = counts.sum(0, dtype=torch.float64)
    near = ((rows if weights is None else rows * counts).sum(0) / number.clamp(min=1)).to(rows.dtype).double()
    size = len(rows) if rows.is_cuda else CACHED // max(rows.shape[1], 1)
    off, squares = torch.zeros_like(near), torch.zeros_like(near)
    for piece, its_counts in zip(rows.split(max(size, 1)), counts.split(max(size, 1)), strict=True):
        rest = piece.double() - near
        if weights is not None:
            rest.mul_(its_counts)
        off += rest.sum(0)
        squares += rest.square_().sum(0)
    off /= number.clamp(min=1)
    return torch.cat([number, near + off, (squares - number * off.square()).clamp_(min=0)])


def mean(values: Tensor, weights: Tensor | None = None) -> Tensor:
    """Over the first dimension and all ranks: `[n, ...]` -> `[...]`; weights `[n]`, each 0 or 1, say which count."""
    if size() == 1 and weights is None:
        return values.mean(0)
    shape = values.shape[1:]
    _, found, _ = _merged([_packed(values.reshape(len(values), shape.numel()), weights)])
    return found.view(shape).to(values.dtype)


def std_means(groups: list[Tensor], weights: Sequence[Tensor | None] | None = None) -> list[tuple[Tensor, Tensor]]:
    """Standard deviation, as torch has it, and mean of each group of values `[n]`, of all ranks, in one message.

    Of fewer than two values they are 1 and 0, by which nothing is changed. Weights `[n]`, each 0 or 1, say which values
    count; None: all.
    """
    kind, one, zero = groups[0].dtype, groups[0].new_ones(()), groups[0].new_zeros(())
    weights = [None] * len(groups) if weights is None else weights
    if size() == 1 and all(some is None for some in weights):
        return [torch.std_mean(values) if len(values) > 1 else (one, zero) for values in groups]
    packed = [_packed(values.unsqueeze(1), some) for values, some in zip(groups, weights, strict=True)]
    count, mean, var = _merged(packed)
    std = (var * count / (count - 1).clamp(min=1)).sqrt()
    pairs = zip(torch.where(count > 1, std, 1).to(kind), torch.where(count > 1, mean, 0).to(kind), strict=True)
    return [(std.squeeze(0), mean.squeeze(0)) for std, mean in pairs]


def total(number: int) -> int:
    """The sum over all ranks."""
    return _reduced(number, dist.ReduceOp.SUM)


def least(number: int) -> int:
    """The smallest of all ranks'."""
    return _reduced(number, dist.ReduceOp.MIN)


def most(number: int) -> int:
    """The largest of all ranks': so a flag that one has raised is raised for all."""
    return _reduced(number, dist.ReduceOp.MAX)


def _reduced(number: int, operation: Any) -> int:
    if size() == 1:
        return number
    cell = torch.tensor([number])
    with _told():
        dist.all_reduce(cell, operation)
    return int(cell)


def gather(value: T) -> list[T]:
    """What each rank gives, in their order, on all of them."""
    if size() == 1:
        return [value]
    values: list[Any] = [None] * size()
    with _told():
        dist.all_gather_object(values, value)
    return values


def gather_first(value: T) -> list[T]:
    """What each rank gives, nested, in their order, on the first, tensors on the CPU; elsewhere only its own."""
    if size() == 1:
        return [value]
    values: list[Any] | None = None if rank() else [None] * size()
    with _told():
        dist.gather_object(_on_cpu(value), values)
    return [value] if values is None else values


def _on_cpu(value: Any) -> Any:
    """A nested value that another machine can take, whatever devices it has."""
    if isinstance(value, dict):
        return {key: _on_cpu(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_on_cpu(item) for item in value)
    return value.cpu() if isinstance(value, Tensor) else value


def broadcast(tensors: Iterable[Tensor]) -> None:
    """Writes the first rank's tensors over those of the others."""
    if size() == 1:
        return
    for tensor in tensors:
        with _told(), torch.no_grad():
            dist.broadcast(tensor, 0)


def together(make: Callable[[], T]) -> T:
    """What `make` gives; if it fails anywhere, the first rank where it did raises the error, and the others end."""
    if size() == 1:
        return make()
    value: Any = None
    failure: Exception | None = None
    try:
        value = make()
    except Exception as error:
        failure = error
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's, once the others have ended: first tell why
    failed = [number for number, has_failed in enumerate(gather(failure is not None)) if has_failed]
    if failure is not None and failed[0] == rank():
        raise failure
    if failed:
        raise SystemExit(2)
    return value


def from_first(make: Callable[[], T]) -> T:
    """What `make` gives on the first rank, on all; if it fails there, the others end."""
    if size() == 1:
        return make()
    values: list[Any] = [together(make if rank() == 0 else lambda: None)]
    with _told():
        dist.broadcast_object_list(values, 0)
    return values[0]


def own(saved: dict[str, Any]) -> dict[str, Any]:
    """A saved state as this rank left it, of one whose "ranks" are what the ranks after the first had of their own.

    Raises:
        ValueError: it was saved by another number of processes.
    """
    parts = [{}, *saved.get("ranks", [])]
    if len(parts) != size():
        start = f"torchrun --nproc-per-node {len(parts)}" if len(parts) > 1 else "no torchrun"
        raise ValueError(f"it is of {len(parts)} process(es), here are {size()}; go on with {start}")
    return saved | parts[rank()]
