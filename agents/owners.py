"""Who plays which row: the learner, or frozen policies; a row changes hands only between episodes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agents.crowd import Crowd, make_of


@dataclass(frozen=True)
class Scripted:
    """An opponent that the worlds play themselves; whoever names it as a row's owner tells the worlds so."""

    name: str
    level: int
    """As the worlds count their scripted players, from 1."""


class Owners:
    """Rows and their players.

    A row keeps its player to the end of its episode: a policy that was replaced plays its last games out, under a
    number above those of the present ones. Policies of one make act in one batched forward pass.

    Attributes:
        owner: int64 `[num_envs]`: 0 the learner, k the k-th policy.
        next_owner: int64 `[num_envs]`: who takes over when the episode has ended.
        opponents: the policies; number k is `opponents[k - 1]`.
        crowds: by make, those that act together.
    """

    def __init__(self, num_envs: int, device: torch.device, seed: int = 0) -> None:
        self.num_envs, self.device = num_envs, device
        self.owner = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self.next_owner = self.owner.clone()
        self.opponents: list[Any] = []
        self.crowds: dict[Any, Crowd] = {}
        self.members: list[Tensor] = []
        self.generator = torch.Generator(device).manual_seed(seed)

    def assign(self, policies: Sequence[Any], owner: Tensor) -> None:
        """Hands rows to policies, each row when its episode has ended; see `Collector.set_opponents`."""
        if owner.shape != (self.num_envs,) or owner.min() < 0 or owner.max() > len(policies):
            given = f"{list(owner.shape)} of {int(owner.min())}..{int(owner.max())}"
            raise ValueError(f"owner must be [{self.num_envs}] numbers of 0..{len(policies)}, got {given}")
        playing = [one for k, one in enumerate(self.opponents, start=1) if (self.owner == k).any()]
        opponents = [*policies, *(one for one in playing if all(one is not other for other in policies))]
        places = [0]
        for one in self.opponents:
            places.append(next((k for k, other in enumerate(opponents, start=1) if other is one), 0))
        self.owner = torch.tensor(places, device=self.device)[self.owner]
        self.next_owner = owner.to(self.device, torch.int64).clone()
        self.opponents = opponents
        self._sort()

    def _sort(self) -> None:
        """Divides the policies into crowds; each has a table from owner to member, -1 for the others."""
        makes = [None if isinstance(one, Scripted) else make_of(one) for one in self.opponents]
        before, self.crowds, self.members = self.crowds, {}, []
        for make in dict.fromkeys(make for make in makes if make is not None):
            policies = [one for one, its_make in zip(self.opponents, makes, strict=True) if its_make == make]
            if crowd := before.get(make):
                crowd.enlist(policies)
            else:
                crowd = Crowd(policies, self.num_envs, self.device)
            self.crowds[make] = crowd
            table, count = [-1], 0
            for its_make in makes:
                table.append(count if its_make == make else -1)
                count += its_make == make
            self.members.append(torch.tensor(table, device=self.device))

    def act(self, actions: Tensor, obs: Tensor, mask: Tensor | None, starts: Tensor) -> Tensor:
        """The learner's actions `[num_envs, ...]` with those of the others' rows in their place."""
        self.owner = torch.where(starts, self.next_owner, self.owner)
        actions = actions.clone()
        for crowd, table in zip(self.crowds.values(), self.members, strict=True):
            member = table[self.owner]
            rows = (member >= 0).nonzero().flatten()
            if len(rows):
                actions[rows] = crowd.act(member[rows], rows, obs, mask, starts, self.generator)
        return actions

    def state_dict(self) -> dict[str, Any]:
        """Players of the rows and what they remember; not the policies."""
        return {
            "owner": self.owner.clone(),
            "next_owner": self.next_owner.clone(),
            "opponents": len(self.opponents),
            "memories": [crowd.memory.clone() for crowd in self.crowds.values()],
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave.

        Raises:
            ValueError: other opponents than were saved.
        """
        if saved["opponents"] != len(self.opponents) or len(saved["memories"]) != len(self.crowds):
            raise ValueError(
                f"saved with {saved['opponents']} opponents, here are {len(self.opponents)}; "
                "set the same before loading, in the order of collector.owners.opponents"
            )
        self.owner, self.next_owner = saved["owner"].to(self.device), saved["next_owner"].to(self.device)
        for crowd, memory in zip(self.crowds.values(), saved["memories"], strict=True):
            crowd.memory = memory.to(self.device).clone()
        self.generator.set_state(saved["generator"])
