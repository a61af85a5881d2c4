"""Uniform replay on the learner's device (Lin, "Self-improving reactive agents", 1992; Mnih et al., 2015)."""

import math
import os
from dataclasses import dataclass
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
    next_mask: Tensor
    """bool `[B, M]`: legal actions in `next_obs`; M is 0 where there are no masks."""


class Replay:
    """The last `capacity` transitions, in tensors of their own dtype: uint8 pictures stay uint8.

    Args:
        capacity: transitions kept.
        rollout: one whose rows tell shapes, dtypes and the device.

    Raises:
        ValueError: the tensors don't fit into free memory; it names the bytes.
    """

    def __init__(self, capacity: int, rollout: Rollout) -> None:
        self.capacity, self.size, self.position = capacity, 0, 0
        columns = 0 if rollout.action_mask is None else rollout.action_mask.shape[-1]
        rows = {
            "obs": rollout.obs[0, 0],
            "actions": rollout.actions[0, 0],
            "rewards": rollout.rewards[0, 0],
            "next_obs": rollout.obs[0, 0],
            "terminated": rollout.terminated[0, 0],
            "next_mask": torch.ones(columns, dtype=torch.bool, device=rollout.obs.device),
        }
        needed = capacity * sum(row.numel() * row.element_size() for row in rows.values())
        free = free_memory(rollout.obs.device)
        if needed > free:
            fits = int(capacity * free / needed)
            raise ValueError(
                f"a replay of {capacity:,} transitions takes {needed / 2**30:.2f} GiB, "
                f"{free / 2**30:.2f} GiB are free; lower buffer_size to {fits:,} or less"
            )
        self.store = {name: row.new_zeros(capacity, *row.shape) for name, row in rows.items()}

    @torch.no_grad()
    def add(self, rollout: Rollout) -> int:
        """Takes in the valid rows of a rollout, oldest first; returns how many."""
        next_obs = rollout.next_obs()
        masks = rollout.action_mask
        ended = rollout.terminated | rollout.truncated
        columns = self.store["next_mask"].shape[1]
        next_mask = ended.new_zeros(*ended.shape, 0) if masks is None else masks[1:] | ended.unsqueeze(-1)
        rows = {
            "obs": rollout.obs[:-1],
            "actions": rollout.actions,
            "rewards": rollout.rewards,
            "next_obs": next_obs,
            "terminated": rollout.terminated,
            "next_mask": next_mask.expand(*ended.shape, columns),
        }
        valid = rollout.valid.flatten().nonzero().flatten()[-self.capacity :]
        index = (torch.arange(len(valid), device=valid.device) + self.position) % self.capacity
        for name, values in rows.items():
            self.store[name][index] = values.flatten(0, 1)[valid]
        self.position = (self.position + len(valid)) % self.capacity
        self.size = min(self.size + len(valid), self.capacity)
        return len(valid)

    def sample(self, batch_size: int, generator: torch.Generator) -> Transitions:
        """Transitions drawn uniformly, with replacement."""
        device = self.store["rewards"].device
        index = torch.randint(self.size, (batch_size,), generator=generator, device=device)
        return Transitions(**{name: values[index] for name, values in self.store.items()})

    def state_dict(self) -> dict[str, Any]:
        """What is filled, and where the ring goes on."""
        filled = {name: values[: self.size].clone() for name, values in self.store.items()}
        return {"store": filled, "position": self.position, "size": self.size}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave."""
        self.position, self.size = int(saved["position"]), int(saved["size"])
        for name, values in saved["store"].items():
            self.store[name][: self.size] = values


def free_memory(device: torch.device) -> float:
    """Bytes that can still be taken on a device; infinite where that can't be told."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo") as lines:
            available = next(line for line in lines if line.startswith("MemAvailable"))
        return int(available.split()[1]) * 1024
    except (OSError, StopIteration):
        pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else math.inf
        return pages * (os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 1)
