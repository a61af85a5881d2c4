"""Horizons without a choice: the same operations on the same tensors every time, so that a CUDA graph can hold them.

Nothing here waits for the device or asks how many episodes ended. An episode that is cut off (truncated) needs the
value of its last observation; a row is cut at most once in as many steps as the worlds' time limit, so one place a row
for each such stretch of the horizon is enough.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor


def fits(collector: Any) -> bool:
    """Whether a collector's envs can be played so: worlds on a GPU, which reset within the step."""
    return collector.in_place and collector.mode == AutoresetMode.SAME_STEP and collector.device.type == "cuda"


@dataclass
class Ends:
    """What a horizon keeps of episodes' ends."""

    limit: int
    """Steps in which a row is cut off once at most."""
    index: Tensor
    """int64 `[S, N]`: t * N + n of the cut, or T * N for none."""
    obs: Tensor
    """`[S, N, ...]`: last observations of the rows that were cut."""
    memory: Tensor
    """`[S, N, m]`: the policy's memory after the cut step."""
    returns: Tensor
    """float32 `[T, N]`: where an episode ended, its return, else 0."""
    lengths: Tensor
    """int64 `[T, N]`: likewise its length."""
    statistics: Tensor
    """float32 `[T, N, C]`: likewise the world's statistics."""
    owner: Tensor
    """int64 `[T, N]`: who played each row, where there were opponents."""
    rows: Tensor
    """int64 `[N]`: 0, 1, ..."""
    seen: Tensor | None
    """`[N, ...]`: where the worlds write observations that the rollout keeps in another type."""


def time_limit(envs: Any) -> int:
    """Steps after which worlds cut an episode off, the least of all; 1 where one has no limit: it may come any step."""
    return max(int((envs.params["max_episode_steps"] // envs.params["frame_skip"]).min()), 1)


def prepare(collector: Any, rollout: Any) -> Ends:
    """Gives a new rollout the places for episodes' ends."""
    steps, rows, device = rollout.num_steps, collector.num_envs, collector.device
    limit = time_limit(collector.envs)
    places = -(-steps // limit)
    ends = Ends(
        limit=limit,
        index=torch.full((places, rows), steps * rows, device=device),
        obs=torch.zeros(places, *collector.obs.shape, dtype=collector.encoder.dtype, device=device),
        memory=torch.zeros(places, *collector.memory.shape, device=device),
        returns=torch.zeros(steps, rows, device=device),
        lengths=torch.zeros(steps, rows, dtype=torch.int64, device=device),
        statistics=torch.zeros(steps, rows, len(collector.envs.world.statistics), device=device),
        owner=torch.zeros(steps, rows, dtype=torch.int64, device=device),
        rows=torch.arange(rows, device=device),
        seen=None if rollout.obs.dtype == collector.encoder.dtype else torch.zeros_like(collector.obs),
    )
    rollout.memory = collector.memory.clone()
    if rollout.final_mask is not None:
        rollout.final_mask = rollout.final_mask.new_ones(places * rows, rollout.final_mask.shape[1])
    for t, out in enumerate(rollout._outs):
        out["final_obs"] = ends.obs[t // limit]
        if ends.seen is not None:
            out["obs"] = ends.seen
        out |= {"returns": ends.returns[t], "lengths": ends.lengths[t], "statistics": ends.statistics[t]}
    return ends


def check(collector: Any, rollout: Any) -> None:
    """Asked before a horizon is played or replayed.

    Raises:
        ValueError: the worlds' time limit fell, so that a row may be cut off more often than there are places for.
    """
    ends = rollout.ends
    if ends is not None and time_limit(collector.envs) < min(ends.limit, rollout.num_steps):
        raise ValueError(f"max_episode_steps fell below {ends.limit}, for which the rollout was made; make a new one")


@torch.inference_mode()
def play(collector: Any, act: Callable[..., Any], rollout: Any) -> None:
    """Fills a rollout that `prepare` was given with the next steps of every row."""
    check(collector, rollout)
    ends, rows, owners = rollout.ends, rollout._rows, collector.owners
    rollout.final_index, rollout.final_obs = ends.index.flatten(), ends.obs.flatten(0, 1)
    rollout.final_memory = ends.memory.flatten(0, 1)
    rollout.valid.fill_(True)
    obs, masks, starts = rows["obs"], rows["action_mask"], rows["starts"]
    told = obs if obs[0].shape == collector.obs.shape else [row[:, : collector.obs.shape[1]] for row in obs]
    told[0].copy_(collector.obs)
    starts[0].copy_(collector.starts)
    if masks[0] is not None:
        masks[0].copy_(collector.action_mask)
    rollout.memory.copy_(collector.memory)
    ends.index.fill_(rollout.num_steps * collector.num_envs)
    memory = rollout.memory
    for t, out in enumerate(rollout._outs):
        actions, memory, extras = act(obs[t], masks[t], memory, starts[t])
        if owners.opponents:
            actions = owners.act(actions, told[t], masks[t], starts[t])
            ends.owner[t].copy_(owners.owner)
            torch.eq(owners.owner, 0, out=rows["valid"][t])
        rows["actions"][t].copy_(actions)
        for name, value in extras.items():
            rollout.extras[name][t].copy_(value)
        collector.envs.step(rows["actions"][t], out=out)
        if ends.seen is not None:
            told[t + 1].copy_(ends.seen)
        torch.logical_or(out["terminated"], out["truncated"], out=starts[t + 1])
        cut, place = out["truncated"] & ~out["terminated"], t // ends.limit
        ends.index[place].copy_(torch.where(cut, ends.rows + t * collector.num_envs, ends.index[place]))
        ends.memory[place].copy_(torch.where(cut.unsqueeze(1), memory, ends.memory[place]))
    collector.obs.copy_(told[-1])
    collector.starts.copy_(starts[-1])
    if masks[-1] is not None:
        collector.action_mask.copy_(masks[-1])
    collector.memory.copy_(memory)


class Tally:
    """The learner's episodes that ended: how many, and sums of what is told of them, kept on the device till asked for.

    Args:
        names: of the world's statistics.
        device: where.
        active: whether there is anything to count.
    """

    def __init__(self, names: tuple[str, ...], device: torch.device, active: bool) -> None:
        self.names, self.active = ("return", "length", *names), active
        self.sums = torch.zeros(1 + len(self.names), dtype=torch.float64, device=device)

    def add(self, rollout: Any) -> None:
        """Counts in the learner's episodes of a horizon."""
        ends, ended = rollout.ends, ((rollout.terminated | rollout.truncated) & rollout.valid).double()
        told = torch.cat([ends.returns.unsqueeze(-1), ends.lengths.unsqueeze(-1), ends.statistics], dim=-1)
        told = told * rollout.valid.unsqueeze(-1)
        self.sums += torch.cat([ended.sum().view(1), told.flatten(0, 1).sum(0, dtype=torch.float64)])

    def pop(self) -> dict[str, tuple[float, int]]:
        """By name the sum and the number of episodes since the last call; waits for the device."""
        count, *sums = self.sums.tolist() if self.active else (0.0,)
        self.sums.zero_()
        return {name: (value, int(count)) for name, value in zip(self.names, sums, strict=True)} if count else {}
