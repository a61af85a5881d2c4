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

    Args:
        num_envs: rows.
        device: where.
        seed: of what opponents draw.
        fixed: `act` is to be the same operations on the same tensors each time, as far as can be; see `Crowd`.

    Attributes:
        owner: int64 `[num_envs]`: 0 the learner, k the k-th policy.
        next_owner: int64 `[num_envs]`: who takes over when the episode has ended.
        opponents: the policies; number k is `opponents[k - 1]`.
        crowds: by make, those that act together.
        version: grows when, though `fixed`, `act` is no longer the same operations on the same tensors.
    """

    def __init__(self, num_envs: int, device: torch.device, seed: int = 0, fixed: bool = False) -> None:
        self.num_envs, self.device, self.fixed = num_envs, device, fixed
        self.owner = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self.next_owner = self.owner.clone()
        self.opponents: list[Any] = []
        self.crowds: dict[Any, Crowd] = {}
        self.version = 0
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
        self.owner.copy_(torch.tensor(places, device=self.device)[self.owner])
        self.next_owner.copy_(owner)
        alone, self.opponents = not self.opponents, opponents
        self._sort(alone)

    def _sort(self, alone: bool) -> None:
        """Divides the policies into crowds; `alone`: there were none before."""
        makes = [None if isinstance(one, Scripted) else make_of(one) for one in self.opponents]
        before, self.crowds = self.crowds, {}
        rooms = {make: crowd.room for make, crowd in before.items()}
        numbers = torch.arange(1 + len(makes), device=self.device).unsqueeze(1)
        rows = ((self.owner == numbers) | (self.next_owner == numbers)).sum(1).tolist()
        for make in dict.fromkeys(make for make in makes if make is not None):
            numbers = [number for number, its_make in enumerate(makes, start=1) if its_make == make]
            policies = [self.opponents[number - 1] for number in numbers]
            member = [numbers.index(number) if number in numbers else -1 for number in range(1 + len(makes))]
            crowd = before.get(make) or Crowd(policies, self.num_envs, self.device, self.fixed)
            crowd.enlist(policies, member, max(1, *(rows[number] for number in numbers)))
            self.crowds[make] = crowd
        changed = alone != (not self.opponents) or rooms != {make: crowd.room for make, crowd in self.crowds.items()}
        self.version += changed

    def act(self, actions: Tensor, obs: Tensor, mask: Tensor | None, starts: Tensor) -> Tensor:
        """The learner's actions `[num_envs, ...]` with those of the others' rows in their place."""
        self.owner.copy_(torch.where(starts, self.next_owner, self.owner))
        for crowd in self.crowds.values():
            actions = crowd.act(self.owner, actions, obs, mask, starts, self.generator)
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
        self.owner.copy_(saved["owner"])
        self.next_owner.copy_(saved["next_owner"])
        self._sort(not self.opponents)
        for crowd, memory in zip(self.crowds.values(), saved["memories"], strict=True):
            crowd.memory.copy_(memory)
        self.generator.set_state(saved["generator"])
