"""Who plays which row: the learner, or frozen policies; a row changes hands only between episodes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass
class Opponent:
    """A frozen policy and its memory, `[num_envs, m]`, of which its own rows count."""

    policy: Any
    memory: Tensor


class Owners:
    """Rows and their players.

    A row keeps its player to the end of its episode: a policy that was replaced plays its last games out, under a
    number above those of the present ones.

    Attributes:
        owner: int64 `[num_envs]`: 0 the learner, k the k-th policy.
        next_owner: int64 `[num_envs]`: who takes over when the episode has ended.
        opponents: the policies; number k is `opponents[k - 1]`.
    """

    def __init__(self, num_envs: int, device: torch.device, seed: int = 0) -> None:
        self.num_envs, self.device = num_envs, device
        self.owner = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self.next_owner = self.owner.clone()
        self.opponents: list[Opponent] = []
        self.generator = torch.Generator(device).manual_seed(seed)

    def assign(self, policies: Sequence[Any], owner: Tensor) -> None:
        """Hands rows to policies, each row when its episode has ended; see `Collector.set_opponents`."""
        if owner.shape != (self.num_envs,) or owner.min() < 0 or owner.max() > len(policies):
            raise ValueError(f"owner must be [{self.num_envs}] numbers of 0..{len(policies)}, got {owner.tolist()}")
        known = {id(one.policy): one for one in self.opponents}
        playing = [one for k, one in enumerate(self.opponents, start=1) if (self.owner == k).any()]
        chosen = [known.get(id(policy)) or self._enrol(policy) for policy in policies]
        opponents = chosen + [one for one in playing if all(one is not other for other in chosen)]
        places = [0]
        for one in self.opponents:
            places.append(next((k for k, other in enumerate(opponents, start=1) if other is one), 0))
        self.owner = torch.tensor(places, device=self.device)[self.owner]
        self.next_owner = owner.to(self.device, torch.int64).clone()
        self.opponents = opponents

    def _enrol(self, policy: Any) -> Opponent:
        return Opponent(policy, policy.initial_memory(self.num_envs).to(self.device))

    def act(self, actions: Tensor, obs: Tensor, mask: Tensor | None, starts: Tensor) -> Tensor:
        """The learner's actions `[num_envs, ...]` with those of the others' rows in their place."""
        self.owner = torch.where(starts, self.next_owner, self.owner)
        actions = actions.clone()
        for number, one in enumerate(self.opponents, start=1):
            rows = (self.owner == number).nonzero().flatten()
            if len(rows):
                its_mask = None if mask is None else mask[rows]
                actions[rows], one.memory[rows] = one.policy.act(
                    obs[rows], its_mask, one.memory[rows], starts[rows], generator=self.generator
                )
        return actions

    def state_dict(self) -> dict[str, Any]:
        """Players of the rows and what they remember; not the policies."""
        return {
            "owner": self.owner.clone(),
            "next_owner": self.next_owner.clone(),
            "memories": [one.memory.clone() for one in self.opponents],
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave.

        Raises:
            ValueError: other opponents than were saved.
        """
        if len(saved["memories"]) != len(self.opponents):
            raise ValueError(
                f"saved with {len(saved['memories'])} opponents, here are {len(self.opponents)}; "
                "set the same before loading, in the order of collector.owners.opponents"
            )
        self.owner, self.next_owner = saved["owner"].to(self.device), saved["next_owner"].to(self.device)
        for one, memory in zip(self.opponents, saved["memories"], strict=True):
            one.memory = memory.to(self.device).clone()
        self.generator.set_state(saved["generator"])
