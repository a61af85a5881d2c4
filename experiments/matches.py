"""Games between two players of a world of two teams: scripted levels, random legal play, trained policies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

BATCH = 64
"""Games played side by side."""


@dataclass(frozen=True)
class Player:
    """Who plays a team: a scripted level (1..), or a policy in each seat, or (neither) legal actions at random."""

    name: str
    level: int = 0
    policy: Any = None
    every: int = 1
    """Steps of the world for which it holds an action: a policy that learned in steps of several ticks."""


@dataclass(frozen=True)
class Tally:
    """Games from the first player's side."""

    won: int
    lost: int
    drawn: int

    @property
    def games(self) -> int:
        """All."""
        return self.won + self.lost + self.drawn

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.won + other.won, self.lost + other.lost, self.drawn + other.drawn)


def match(
    make: Callable[[int, int], Any], first: Player, second: Player, games: int, seed: int = 0, batch: int = BATCH,
    deterministic: bool = False,
) -> Tally:  # fmt: skip
    """Whole games, each with random streams of its own; the players change sides half way.

    Args:
        make: `make(num_worlds, seed)` gives a batch of worlds with all seats, autoreset mode Disabled.
        first, second: the players.
        games: how many, rounded up to an even number.
        seed: of the worlds and of random and trained players' draws.
        batch: games side by side.
        deterministic: trained players take their best actions, else they draw.
    """
    tally = Tally(0, 0, 0)
    half = -(-games // 2)
    for side, players in enumerate(((first, second), (second, first))):
        for start in range(0, half, batch):
            envs = make(min(batch, half - start), seed + 2 * start + side)
            play(envs, *players, seed=seed + 2 * start + side, deterministic=deterministic)
            won, lost = (int((envs.state[name][:, 0] > 0).sum()) for name in ("won", "lost"))
            drawn = envs.num_worlds - won - lost
            tally = tally + (Tally(lost, won, drawn) if side else Tally(won, lost, drawn))
    return tally


class Teams:
    """The players of both teams, in every seat of a batch of worlds; they hold them from the next reset on.

    Args:
        envs: with all seats.
        first, second: who plays which team.
        seed: of what random and trained players draw.
        deterministic: trained players take their best actions.
        free: seats that somebody else plays.
    """

    def __init__(
        self, envs: Any, first: Player, second: Player, seed: int = 0, deterministic: bool = False,
        free: Sequence[int] = (),
    ) -> None:  # fmt: skip
        team = envs.num_seats // 2
        rows = torch.arange(envs.num_envs).reshape(-1, 2, team)
        levels = [first.level] * team + [second.level] * team
        envs.set_control([0 if seat in free else level for seat, level in enumerate(levels)])
        self.players, self.rows = (first, second), [rows[:, side].flatten() for side in range(2)]
        self.layout, self.deterministic = envs.action_layout, deterministic
        self.rng, self.generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        self.memories = [
            None if player.policy is None else player.policy.initial_memory(len(mine))
            for player, mine in zip(self.players, self.rows, strict=True)
        ]
        self.actions = torch.zeros((envs.num_envs, *(envs.single_action_space.shape or ())), dtype=torch.int64)
        self.played = torch.zeros(envs.num_envs, dtype=torch.int64)
        every = [player.every for player in self.players for _ in range(team)]
        if max(every) > 1 and "hold" in envs.params.dtype.names:
            envs.set_params(hold=[[1 if seat in free else steps for seat, steps in enumerate(every)]])

    @torch.no_grad()
    def act(self, obs: Tensor, mask: Tensor, starts: Tensor | np.ndarray) -> Tensor:
        """Actions int64 `[num_envs, parts]` for observations, masks and bool `[num_envs]`: an episode starts here."""
        starts = torch.as_tensor(starts)
        self.played = torch.where(starts, 0, self.played + 1)
        for side, (player, mine) in enumerate(zip(self.players, self.rows, strict=True)):
            due = self.played[mine] % player.every == 0
            rows, memory = mine[due], self.memories[side]
            if memory is not None and len(rows):
                self.actions[rows], memory[due] = player.policy.act(
                    obs[rows], mask[rows], memory[due], starts[rows],
                    deterministic=self.deterministic, generator=self.generator,
                )  # fmt: skip
            elif player.level == 0 and memory is None:
                drawn = torch.from_numpy(random_legal(mask[rows].numpy(), self.layout, self.rng))
                self.actions[rows] = drawn.view_as(self.actions[rows])
        return self.actions


def play(envs: Any, first: Player, second: Player, seed: int = 0, deterministic: bool = False) -> None:
    """Plays all worlds of a batch with Disabled autoreset from reset to end; `envs.state` tells what came of it."""
    teams = Teams(envs, first, second, seed, deterministic)
    obs, infos = envs.reset()
    starts = torch.ones(envs.num_envs, dtype=torch.bool)
    while not envs.state["ended"].all():
        obs, _, _, _, infos = envs.step(teams.act(obs, infos["action_mask"], starts))
        starts = torch.zeros_like(starts)


def random_legal(mask: np.ndarray, layout: Any, rng: np.random.Generator) -> np.ndarray:
    """For masks bool `[N, M]` actions int64 `[N, parts]`, drawn evenly part by part among the legal ones."""
    drawn = rng.random(mask.shape, dtype=np.float32) * mask
    return choosing(layout)(torch.from_numpy(drawn)).numpy()


def choosing(layout: Any, device: str | torch.device = "cpu") -> Callable[[Tensor], Tensor]:
    """What takes, for chances `[N, M]` laid out as masks are, the greatest part by part: actions int64 `[N, parts]`.

    It waits for nothing, so that a CUDA graph can hold it.
    """
    kinds_of_verbs = [torch.tensor(kinds, device=device) for kinds in layout.kinds]

    def choose(chances: Tensor) -> Tensor:
        rows = torch.arange(len(chances), device=chances.device)
        verbs, *rest = chances.split(
            [layout.sizes[0], *(n * size for n, size in zip(layout.num_blocks, layout.sizes[1:], strict=True))], dim=1
        )
        actions = [verbs.argmax(1)]
        for kinds, blocks, size in zip(kinds_of_verbs, rest, layout.sizes[1:], strict=True):
            kind = kinds[actions[0]]
            best = blocks.unflatten(1, (-1, size))[rows, kind.clamp(min=0)].argmax(1)
            actions.append(torch.where(kind >= 0, best, 0))
        return torch.stack(actions, dim=1)

    return choose
