"""Replay on the learner's device (Lin, "Self-improving reactive agents", 1992; Mnih et al., 2015), of one step or more
(Sutton, "Learning to predict by the methods of temporal differences", 1988).
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agents.prioritized import Priorities
from agents.rollout import Rollout, placed


@dataclass
class Transitions:
    """Steps side by side, `[B, ...]`, and where they led: the value of `obs` is rewards + discounts * the next."""

    obs: Tensor
    actions: Tensor
    rewards: Tensor
    """float32 `[B]`: of the steps between `obs` and `next_obs`, discounted."""
    next_obs: Tensor
    discounts: Tensor
    """float32 `[B]`: gamma to the number of those steps, 0 where the episode terminated."""
    next_mask: Tensor | None = None
    """bool `[B, M]`: legal actions in `next_obs`, or None where there are no masks."""


class Replay:
    """The last `capacity` transitions, in tensors of their own dtype: uint8 pictures stay uint8.

    With `num_steps` above 1 a transition spans so many steps, fewer where the episode ends; the last steps of a rollout
    wait for the next one.

    Args:
        capacity: transitions kept.
        rollout: one whose rows tell shapes, dtypes and the device.
        gamma: discount a step.
        num_steps: steps that a transition spans.

    Attributes:
        store: the tensors by name, `[capacity, ...]`, a ring.
        size: transitions in it.
        position: where the next one goes.
        priorities: how likely each place is drawn, told of every new transition; None where all are alike.
        waiting: steps that are not kept yet, by name, `[fewer than num_steps, N, ...]`.
        num_bytes: memory of the tensors once they are full.

    Raises:
        ValueError: no capacity, or the tensors don't fit into free memory; it names the bytes.
    """

    def __init__(self, capacity: int, rollout: Rollout, gamma: float, num_steps: int = 1) -> None:
        if capacity < 1:
            raise ValueError(f"a replay keeps at least 1 transition, got buffer_size {capacity}")
        self.capacity, self.gamma, self.num_steps = capacity, gamma, num_steps
        self.size, self.position = 0, 0
        self.priorities: Priorities | None = None
        on_gpu = rollout.obs.device.type == "cuda"  # where a recorded draw reads it anew
        self.filled: int | Tensor = torch.zeros((), dtype=torch.float64, device=rollout.obs.device) if on_gpu else 0
        steps = _steps(rollout, gamma)
        rows = {name: values[0, 0] for name, values in steps.items() if name != "valid"}
        self.num_bytes = capacity * sum(row.numel() * row.element_size() for row in rows.values())
        free = free_memory(rollout.obs.device)
        if self.num_bytes > free:
            fits = int(capacity * free / self.num_bytes)
            raise ValueError(
                f"a replay of {capacity:,} transitions takes {self.num_bytes / 2**30:.2f} GiB, "
                f"{free / 2**30:.2f} GiB are free; lower buffer_size to {fits:,} or less"
            )
        self.store = {name: row.new_zeros(capacity, *row.shape) for name, row in rows.items()}
        self.waiting = {name: values[:0].clone() for name, values in (steps | {"ended": rollout.terminated}).items()}

    def add(self, rollout: Rollout) -> int:
        """Takes in the valid rows of a rollout, oldest first; returns how many there were."""
        steps = _steps(rollout, self.gamma)
        if self.num_steps > 1:
            steps["ended"] = rollout.terminated | rollout.truncated
            joined = {name: torch.cat([self.waiting[name], values]) for name, values in steps.items()}
            steps, self.waiting = look_ahead(joined, self.num_steps)
        rows = {name: steps[name].flatten(0, 1) for name in self.store}
        if not (rollout.all_valid or steps["valid"].all()):
            index = steps["valid"].flatten().nonzero().flatten()
            rows = {name: values[index] for name, values in rows.items()}
        number = len(rows["rewards"])
        kept = min(number, self.capacity)
        before_the_seam = min(kept, self.capacity - self.position)
        for name, values in rows.items():
            store, newest = self.store[name], values[number - kept :] if kept < number else values
            if before_the_seam == kept:
                store[self.position : self.position + kept] = newest
            else:
                store[self.position :] = newest[:before_the_seam]
                store[: kept - before_the_seam] = newest[before_the_seam:]
        if self.priorities is not None:
            places = torch.arange(self.position, self.position + kept, device=rollout.obs.device)
            self.priorities.enter(places % self.capacity)
        self.position = (self.position + kept) % self.capacity
        self.size = min(self.size + kept, self.capacity)
        self._tell_size()
        return rollout.valid.numel() if rollout.all_valid else int(rollout.valid.sum())

    def draw(self, number: int, generator: torch.Generator) -> Tensor:
        """Places of transitions drawn uniformly, with replacement: int64 `[number]`.

        Raises:
            ValueError: the replay is empty.
        """
        if not self.size:
            raise ValueError("the replay is empty; add a rollout with valid rows before sampling")
        if isinstance(self.filled, int):
            return torch.randint(self.size, (number,), generator=generator)
        drawn = torch.rand(number, generator=generator, device=self.filled.device, dtype=torch.float64)
        return drawn.mul_(self.filled).long()

    def _tell_size(self) -> None:
        if isinstance(self.filled, int):
            self.filled = self.size
        else:
            self.filled.fill_(self.size)

    def take(self, places: Tensor) -> Transitions:
        """The transitions at these places, int64 `[B]`."""
        return Transitions(**{name: values.index_select(0, places) for name, values in self.store.items()})

    def state_dict(self) -> dict[str, Any]:
        """What is filled, where the ring goes on, and what waits."""
        filled = {name: values[: self.size].clone() for name, values in self.store.items()}
        waiting = {name: values.clone() for name, values in self.waiting.items()}
        priorities = None if self.priorities is None else self.priorities.state_dict()
        return {
            "store": filled, "waiting": waiting, "position": self.position, "size": self.size, "priorities": priorities,
        }  # fmt: skip

    def load_state_dict(self, saved: dict[str, Any], continues: bool = True) -> None:
        """Puts back what `state_dict` gave.

        Args:
            saved: that.
            continues: the worlds go on where they were; else the steps that waited have no successors and are dropped.

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
        self._tell_size()
        if self.priorities is not None:
            self.priorities.load_state_dict(saved["priorities"])
        for name, values in saved["store"].items():
            self.store[name][:size] = values
        self.waiting = {
            name: values.to(self.waiting[name].device)[: None if continues else 0]
            for name, values in saved["waiting"].items()
        }


def look_ahead(steps: dict[str, Tensor], num_steps: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """From single steps `[T, N, ...]` to those that span `num_steps`, and the last, which wait for their successors.

    A span ends early with its episode: a truncated one keeps the final observation and the discount that it takes to
    get there, a terminated one has discount 0. Nothing of the next episode, nor of a fake step, enters it.
    """
    number = max(0, len(steps["rewards"]) - num_steps + 1)
    waiting = {name: values[number:].clone() for name, values in steps.items()}
    spans = {name: values[:number] for name, values in steps.items()}
    if not number:
        return spans, waiting
    ended, rewards, discounts = (steps[name].unfold(0, num_steps, 1) for name in ("ended", "rewards", "discounts"))
    within = ended.cumsum(-1) - ended.long() == 0  # [number, N, num_steps]: before the end, or with it
    discounts = torch.where(within, discounts, 1).cumprod(-1)
    spans["rewards"] = rewards[..., 0] + (torch.where(within, rewards, 0)[..., 1:] * discounts[..., :-1]).sum(-1)
    spans["discounts"] = discounts[..., -1]
    rows = torch.arange(within.shape[1], device=within.device)
    last = within.sum(-1) - 1 + torch.arange(number, device=within.device).unsqueeze(1)
    for name in {"next_obs", "next_mask"} & spans.keys():
        spans[name] = steps[name][last, rows]
    return spans, waiting


def _steps(rollout: Rollout, gamma: float) -> dict[str, Tensor]:
    """What a rollout says of each step, `[T, N, ...]` each."""
    found = {
        "obs": rollout.obs[:-1],
        "actions": rollout.actions,
        "rewards": rollout.rewards,
        "next_obs": rollout.next_obs(),
        "discounts": ~rollout.terminated * gamma,
        "valid": rollout.valid,
    }
    if rollout.action_mask is not None and rollout.final_mask is not None:
        found["next_mask"] = placed(rollout.action_mask[1:], rollout.final_index, rollout.final_mask)
    return found


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
