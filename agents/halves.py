"""Two batches of environments on the host for one learner on a GPU: while one steps, the policy serves the other.

Both are collectors of their own; what they collect is laid side by side, so that a learner sees one.
"""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from agents import distributed
from agents.allocator import keep_memory
from agents.episodes import Episodes
from agents.rollout import Act, Collector, Rollout


class HalvedEnvs:
    """Two vector envs of the same kind, `first` and `second`; stepped by a `HalvedCollector` alone."""

    def __init__(self, first: Any, second: Any) -> None:
        self.parts = (first, second)
        self.num_envs = first.num_envs + second.num_envs
        self.single_observation_space = first.single_observation_space
        self.single_action_space = first.single_action_space
        self.metadata = first.metadata
        self.action_layout = getattr(first, "action_layout", None)

    def close(self) -> None:
        """Closes both."""
        for part in self.parts:
            part.close()


class HalvedCollector:
    """What `Collector` is, for `HalvedEnvs`; without opponents."""

    def __init__(self, envs: HalvedEnvs, device: str | torch.device = "cpu", seed: int = 0) -> None:
        first, second = envs.parts
        self.envs = envs
        others = distributed.rank() * second.num_envs, distributed.rank() * first.num_envs  # of the ranks before
        self.parts = (
            Collector(first, device, seed + others[0]), Collector(second, device, seed + others[1] + first.num_envs),
        )  # fmt: skip
        one = self.parts[0]
        self.device, self.encoder, self.masks, self.mode = one.device, one.encoder, one.masks, one.mode
        self.action_space, self.owners, self.fixed = one.action_space, one.owners, False
        self.num_envs = envs.num_envs
        self.sizes = [part.num_envs for part in self.parts]

    @property
    def memory(self) -> Tensor:
        """`[N, m]`, the policy's."""
        return torch.cat([part.memory for part in self.parts])

    @memory.setter
    def memory(self, memory: Tensor) -> None:
        for part, own in zip(self.parts, memory.split(self.sizes), strict=True):
            part.memory = own.clone()

    def keep_obs_in(self, dtype: torch.dtype, widened: bool = False) -> None:
        """Refused, as by a `Collector` of envs on the host."""
        self.parts[0].keep_obs_in(dtype, widened)

    def set_opponents(self, policies: Any, owner: Tensor) -> None:
        """Refused: environments of many players are worlds, which need no halves."""
        raise ValueError("environments in two halves have one player a row; use one batch for opponents")

    def new_rollout(self, num_steps: int, extras: Any = None) -> Rollout:
        """Preallocated tensors; see `Collector.new_rollout`."""
        self.rollouts = [part.new_rollout(num_steps, extras) for part in self.parts]
        return Rollout(**{one.name: self._joined(one.name) for one in fields(Rollout) if one.name[0] != "_"})

    def _joined(self, name: str) -> Any:
        """A field of both halves' rollouts as one."""
        one, other = (getattr(rollout, name) for rollout in self.rollouts)
        if isinstance(one, dict):
            return {key: torch.cat([one[key], other[key]], dim=1) for key in one}
        if not isinstance(one, Tensor):
            return one
        return torch.cat([one, other], dim=0 if name == "memory" or name.startswith("final") else 1)

    def collect(self, act: Act, rollout: Rollout) -> None:
        """Fills the rollout: `act` is called for the first half's rows, then for the second's, step by step."""
        finals: tuple[list[Any], ...] = ([], [])
        halves = list(zip(self.parts, self.rollouts, finals, strict=True))
        begun = [part.begin(own) for part, own, _ in halves]
        with torch.inference_mode():
            alternate([part.playing(act, own, ended) for part, own, ended in halves])
        for (part, own, ended), fake_at_start in zip(halves, begun, strict=True):
            own.all_valid = part.mode != AutoresetMode.NEXT_STEP
            part.finish(own, fake_at_start, ended)
        self._join(rollout)

    def _join(self, rollout: Rollout) -> None:
        """Lays the halves' rollouts side by side in the whole."""
        for name in ("obs", "action_mask", "actions", "rewards", "terminated", "truncated", "starts", "valid"):
            parts = [getattr(own, name) for own in self.rollouts]
            if parts[0] is not None:
                torch.cat(parts, dim=1, out=getattr(rollout, name))
        for name, whole in rollout.extras.items():
            torch.cat([own.extras[name] for own in self.rollouts], dim=1, out=whole)
        rollout.memory = torch.cat([own.memory for own in self.rollouts])
        rollout.all_valid = all(own.all_valid for own in self.rollouts)
        index, start = [], 0
        for own, size in zip(self.rollouts, self.sizes, strict=True):
            index.append(own.final_index // size * self.num_envs + own.final_index % size + start)
            start += size
        rollout.final_index = torch.cat(index)
        rollout.final_obs = torch.cat([own.final_obs for own in self.rollouts])
        rollout.final_memory = torch.cat([own.final_memory for own in self.rollouts])
        masks = [own.final_mask for own in self.rollouts if own.final_mask is not None]
        rollout.final_mask = torch.cat(masks) if masks else None

    @property
    def episodes(self) -> Episodes:
        """What ended, the first half's before the second's."""
        one, other = (part.episodes for part in self.parts)
        one.add(other)
        return one

    def episode_metrics(self) -> dict[str, float]:
        """Means over the episodes that ended in both halves; see `Collector.episode_metrics`."""
        return self.episodes.pop_metrics({})

    def state_dict(self) -> dict[str, Any]:
        """What the next `collect` goes on from."""
        return {"halves": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Goes on where the saved collector was, as far as envs on the host can; of another make, at their reset."""
        for part, own in zip(self.parts, saved.get("halves", ()), strict=False):
            part.load_state_dict(own)


def alternate(plays: list[Iterator[None]]) -> None:
    """Goes on with each in turn until all have ended."""
    ended = object()
    while plays:
        plays = [play for play in plays if next(play, ended) is not ended]


def make_collector(envs: Any, device: str | torch.device = "cpu", seed: int = 0, fixed: bool | None = None) -> Any:
    """The collector that envs call for; see `Collector` for `fixed`."""
    if torch.device(device).type == "cpu":
        keep_memory()
    if isinstance(envs, HalvedEnvs):
        return HalvedCollector(envs, device, seed)
    return Collector(envs, device, seed, fixed)
