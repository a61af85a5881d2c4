"""A league of past selves: which frozen versions a learner meets, by how good they still are.

Three rules choose among the versions in the pool:

- "quality" (OpenAI Five, arXiv 1912.06680, appendix N): version i with probability p_i, the softmax of qualities q; a
  new one starts with the highest q; each time the learner beats version i, q_i falls by eta / (n p_i), where p_i counts
  as `RAREST` at least, so that a row of wins over one who is seldom met does not shut it out for good.
- "pfsp" (prioritised fictitious self-play; Vinyals et al., "Grandmaster level in StarCraft II", Nature 2019): in
  proportion to (1 - x_i)^2, where x_i is the learner's share of the points against version i.
- "uniform": all alike.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

RULES = ("quality", "pfsp", "uniform")
RAREST = 1e-3
FORGET = 0.99
"""What older games weigh when one more is counted: the learner changes."""


@dataclass
class Member:
    """A frozen version, or a player who never learned."""

    name: str
    stays: bool = False
    """It never leaves the pool."""
    quality: float = 0.0
    games: float = 0.0
    """Games of the learner against it, older ones counting less."""
    points: float = 0.0
    """Of the learner in those: 1 a win, 0.5 a draw."""

    @property
    def beaten(self) -> float:
        """The learner's share of the points; a half where nothing is known yet."""
        return (self.points + 1) / (self.games + 2)


class Pool:
    """The versions there are, a bounded number.

    Args:
        rule: one of `RULES`.
        capacity: versions kept beside those who stay; when one more joins, the least likely goes, the older of equals.
        eta: how fast a beaten version's quality falls.

    Raises:
        ValueError: another rule, or no room.
    """

    def __init__(self, rule: str = "quality", capacity: int = 32, eta: float = 0.01) -> None:
        if rule not in RULES:
            raise ValueError(f"the rule of a pool must be one of {', '.join(RULES)}, got {rule!r}")
        if capacity < 1:
            raise ValueError(f"a pool keeps at least 1 version, got {capacity}")
        self.rule, self.capacity, self.eta = rule, capacity, eta
        self.members: list[Member] = []

    def add(self, name: str, stays: bool = False) -> str | None:
        """Takes in a version, with the highest quality there is; returns the name of the one that left, if any."""
        quality = max((one.quality for one in self.members), default=0.0)
        leaves, chances = None, self.chances().tolist()
        going = [place for place, one in enumerate(self.members) if not one.stays]
        if not stays and len(going) == self.capacity:
            leaves = self.members.pop(min(going, key=chances.__getitem__)).name
        self.members.append(Member(name, stays, quality))
        return leaves

    def chances(self) -> Tensor:
        """How likely each version is to be met, float64 `[n]`, with the sum 1."""
        if self.rule == "quality":
            return torch.tensor([one.quality for one in self.members], dtype=torch.float64).softmax(0)
        if self.rule == "pfsp":
            weights = torch.tensor([(1 - one.beaten) ** 2 for one in self.members], dtype=torch.float64)
            return weights / weights.sum()
        return torch.full((len(self.members),), 1 / max(1, len(self.members)), dtype=torch.float64)

    def draw(self, count: int, generator: torch.Generator) -> list[str]:
        """Names of versions to meet, drawn with replacement.

        Raises:
            ValueError: the pool is empty.
        """
        if not self.members:
            raise ValueError("nobody can be drawn from an empty pool; add a version first")
        drawn = torch.multinomial(self.chances(), count, replacement=True, generator=generator)
        return [self.members[i].name for i in drawn.tolist()]

    def record(self, name: str, points: float) -> None:
        """Counts a game of the learner against a version: 1 if the learner won, 0.5 for a draw, 0.

        A version that has left the pool meanwhile is passed over.
        """
        place = next((i for i, one in enumerate(self.members) if one.name == name), None)
        if place is None:
            return
        member = self.members[place]
        if points == 1:
            member.quality -= self.eta / (len(self.members) * max(RAREST, float(self.chances()[place])))
        member.games = FORGET * member.games + 1
        member.points = FORGET * member.points + points

    def state_dict(self) -> list[dict[str, Any]]:
        """JSON: the members in the order in which they joined."""
        return [asdict(one) for one in self.members]

    def load_state_dict(self, saved: list[dict[str, Any]]) -> None:
        """Puts back what `state_dict` gave."""
        self.members = [Member(**one) for one in saved]
