"""Uniform replay on the learner's device (Lin, "Self-improving reactive agents", 1992; Mnih et al., 2015)."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agents.rollout import Rollout


@dataclass
class Transitions:
    """Steps side by side, `[B, ...]`, each with what it led to."""

    obs: Tensor
    actions: Tensor
    rewards: Tensor
    next_obs: Tensor
    terminated: Tensor
    next_mask: Tensor | None = None
    """bool `[B, M]`: legal actions in `next_obs`, or None where there are no masks."""


class Replay:
    """The last `capacity` transitions, in tensors of their own dtype: uint8 pictures stay uint8.

    Args:
        capacity: transitions kept.
        rollout: one whose rows tell shapes, dtypes and the device.

    Attributes:
        store: the tensors by name, `[capacity, ...]`, a ring.
        size: transitions in it.
        position: where the next one goes.
        num_bytes: memory of the tensors once they are full.

    Raises:
        ValueError: no capacity, or the tensors don't fit into free memory; it names the bytes.
    """

    def __init__(self, capacity: int, rollout: Rollout) -> None:
        if capacity < 1:
            raise ValueError(f"a replay keeps at least 1 transition, got buffer_size {capacity}")
        self.capacity, self.size, self.position = capacity, 0, 0
        rows = {name: values[0, 0] for name, values in _transitions(rollout).items()}
        self.num_bytes = capacity * sum(row.numel() * row.element_size() for row in rows.values())
        free = free_memory(rollout.obs.device)
        if self.num_bytes > free:
            fits = int(capacity * free / self.num_bytes)
            raise ValueError(
                f"a replay of {capacity:,} transitions takes {self.num_bytes / 2**30:.2f} GiB, "
                f"{free / 2**30:.2f} GiB are free; lower buffer_size to {fits:,} or less"
            )
        self.store = {name: row.new_zeros(capacity, *row.shape) for name, row in rows.items()}

    @torch.no_grad()
    def add(self, rollout: Rollout) -> int:
        """Takes in the valid rows of a rollout, oldest first; returns how many there were."""
        rows = {name: values.flatten(0, 1) for name, values in _transitions(rollout).items()}
        if not rollout.valid.all():
            valid = rollout.valid.flatten().nonzero().flatten()
            rows = {name: values[valid] for name, values in rows.items()}
        number = len(rows["rewards"])
        kept = min(number, self.capacity)
        for name, values in rows.items():
            self._write(self.store[name], values[number - kept :])
        self.position = (self.position + kept) % self.capacity
        self.size = min(self.size + kept, self.capacity)
        return number

    def _write(self, store: Tensor, values: Tensor) -> None:
        """A block from the present position on, its rest from the start of the ring."""
        first = min(len(values), self.capacity - self.position)
        store[self.position : self.position + first] = values[:first]
        if first < len(values):
            store[: len(values) - first] = values[first:]

    def sample(self, batch_size: int, generator: torch.Generator) -> Transitions:
        """Transitions drawn uniformly, with replacement; from an empty replay there is nothing to draw."""
        if not self.size:
            raise ValueError("the replay is empty; add a rollout with valid rows before sampling")
        device = self.store["rewards"].device
        index = torch.randint(self.size, (batch_size,), generator=generator, device=device)
        return Transitions(**{name: values.index_select(0, index) for name, values in self.store.items()})

    def state_dict(self) -> dict[str, Any]:
        """What is filled, and where the ring goes on."""
        filled = {name: values[: self.size].clone() for name, values in self.store.items()}
        return {"store": filled, "position": self.position, "size": self.size}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave.

        Raises:
            ValueError: the saved replay had another capacity.
        """
        position, size = int(saved["position"]), int(saved["size"])
        if size > self.capacity or (size < self.capacity and position != size):
            raise ValueError(
                f"the saved replay of {size:,} transitions had another capacity than {self.capacity:,}; "
                "keep buffer_size as it was"
            )
        self.position, self.size = position, size
        for name, values in saved["store"].items():
            self.store[name][:size] = values


def _transitions(rollout: Rollout) -> dict[str, Tensor]:
    """What is kept of each step, `[T, N, ...]` each."""
    found = {
        "obs": rollout.obs[:-1],
        "actions": rollout.actions,
        "rewards": rollout.rewards,
        "next_obs": rollout.next_obs(),
        "terminated": rollout.terminated,
    }
    if rollout.action_mask is not None:
        found["next_mask"] = _next_mask(rollout, rollout.action_mask)
    return found


def _next_mask(rollout: Rollout, masks: Tensor) -> Tensor:
    """The masks of `next_obs`; final observations come without one, so there everything counts as legal."""
    following = masks[1:].clone()
    following.view(-1, masks.shape[-1])[rollout.final_index] = True
    return following


def free_memory(device: torch.device) -> float:
    """Bytes that can still be taken on a device; infinite where that can't be told."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return min(_free_of_machine(), _free_of_container(Path("/sys/fs/cgroup")))


def _free_of_machine() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # no Linux: what there is, not what is free
        names = getattr(os, "sysconf_names", {})
        known = {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= set(names)
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if known else math.inf


def _free_of_container(group: Path) -> float:
    """What a limit on this control group (version 2) leaves, caches not counted; infinite without a limit."""
    try:
        limit, used = (float((group / name).read_text()) for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return limit - used + float(stat["inactive_file"])
    except (OSError, ValueError, KeyError):  # "max" is no number: no limit
        return math.inf
