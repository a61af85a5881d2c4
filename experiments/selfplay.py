"""Self-play: one policy learns by PPO in every seat of a world of two teams, against itself and its frozen past.

A share of the worlds holds a past version in one of the teams, drawn from a pool (`agents.league`); the learner's games
against it tell how good it still is. The rest is `agents.ppo`. Read from top to bottom: `Config`, `TrainState`,
`learn`.
"""

import copy
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents import checkpoint, checks, distributed, ppo, schedules
from agents.league import RULES, Pool
from agents.owners import Scripted
from agents.schedules import Schedule
from envs import make_vec
from experiments.matches import Player, match
from experiments.ratings import Rating, calibrate, level_names, rate, references

RATING_SEED = 20_000
"""Of the games that rate, the same ones each time."""
SEATS = "all"
"""Which seats of a world the learner's batch has."""


@dataclass(frozen=True)
class Config(ppo.Config):
    """How a league learns: PPO's fields, where an agent-step is one seat's, and whom the learner meets."""

    horizon: Schedule = 0.0
    """Seconds of game time after which a reward counts 1/e (schedule); 0: leave gamma as it is.
    Sets gamma to exp(-seconds per step / horizon)."""
    knobs: tuple[str, ...] = ()
    """Tunables of the world that change during training, each NAME=NUMBER or NAME=SCHEDULE:
    team_spirit=linear:0.3:1."""
    scripted: tuple[str, ...] = ()
    """Scripted players in the pool, such as easy, medium, hard; none: self-play alone."""
    past_share: float = 0.2
    """Share of the worlds in which a past version plays one of the teams."""
    opponents: int = 4
    """Past versions that play at the same time."""
    opponent_rule: str = "quality"
    """How past versions are drawn: quality (as in OpenAI Five), pfsp (those that still win) or uniform."""
    snapshot_every: int = 200_000
    """Agent-steps between frozen versions."""
    pool_size: int = 32
    """Past versions kept; the one least likely to be drawn is dropped first."""
    redraw_every: int = 100_000
    """Agent-steps between draws of the past versions that play."""
    rate_every: int = 1_000_000
    """Agent-steps between ratings against random play and the world's scripted players; 0: never."""
    rating_games: int = 32
    """Games against each of them per rating."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.past_share < 1:
            raise ValueError(f"past_share must lie in 0..1, below 1, got {self.past_share}")
        checks.numbers(self, "horizon", low=0)
        checks.numbers(self, "opponents snapshot_every pool_size redraw_every rating_games", low=1)
        for knob in self.knobs:
            _knob(knob)
        if self.opponent_rule not in RULES:
            raise ValueError(f"opponent_rule must be one of {', '.join(RULES)}, got {self.opponent_rule!r}")


def _knob(text: str) -> tuple[str, float | str]:
    """The name and the number or schedule of a knob.

    Raises:
        ValueError: a text that is neither.
    """
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ValueError(f"knobs must be NAME=NUMBER or NAME=SCHEDULE, got {text!r}")
    try:
        return name, float(value)
    except ValueError:
        schedules.parse(value)
        return name, value


check_spaces, make_policy = ppo.check_spaces, ppo.make_policy


def check_envs(envs: Any) -> None:
    """A league takes worlds of two teams that say who won.

    Raises:
        ValueError: other environments, or actions without masks, by which those who know nothing choose.
    """
    statistics = getattr(getattr(envs, "world", None), "statistics", ())
    if getattr(envs, "num_seats", 1) % 2 or not {"won", "lost"} <= set(statistics):
        raise ValueError(
            "a league needs a world of two teams that says who won, such as quintet/Duel-v0: the first half of its "
            'seats against the second, with statistics=("won", "lost")'
        )
    if getattr(envs, "action_layout", None) is None:
        raise ValueError("a league needs actions with masks; give the World a `mask`, if only one that allows all")


def check_teams(envs: Any, config: Config) -> None:
    """Rows that are a team must be of one side, as opponents play whole sides.

    Raises:
        ValueError: they aren't.
    """
    side = int(envs.num_seats) // 2
    if side % config.team_size:
        seats = "1 seat" if side == 1 else f"{side} seats"
        fits = "1" if side == 1 else f"{side}, or 1"
        raise ValueError(f"team_size = {config.team_size} does not divide the {seats} of a side; use {fits}")


class TrainState:
    """Everything that training changes.

    Attributes:
        ppo: the learner's.
        pool: the past versions by name; their weights lie in the run folder, `pool/NAME.safetensors`.
    """

    def __init__(self, envs: Any, config: Config, device: str = "cpu") -> None:
        check_envs(envs)
        check_teams(envs, config)
        at(config, envs, 0)
        self.num_seats = int(envs.num_seats)
        self.ppo = ppo.TrainState(envs, config, device)
        self.config, self.device = config, device
        self.pool = Pool(config.opponent_rule, config.pool_size)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.frozen: dict[str, Any] = _scripted(envs.world, config.scripted)
        for name in self.frozen:
            self.pool.add(name, stays=True)
        self.folder: Path | None = None
        self.kept: deque[set[str]] = deque(maxlen=2)
        self.next_snapshot, self.next_draw, self.next_rating = 0, 0, config.rate_every
        self.references: dict[str, Rating] = {}

    @property
    def policy(self) -> Any:
        """The learner."""
        return self.ppo.policy

    @property
    def global_step(self) -> int:
        """Agent-steps learned from."""
        return self.ppo.global_step

    def use_folder(self, run: Path) -> None:
        """Where past versions are written to and read from."""
        self.folder = run / "pool"
        self.folder.mkdir(exist_ok=True)

    def playing(self) -> list[str]:
        """Names of the opponents, in the order of their numbers."""
        return [one.name for one in self.ppo.collector.owners.opponents]

    def state_dict(self) -> dict[str, Any]:
        """Tensors and JSON scalars, nested; past versions by name."""
        if self.folder is not None:
            index = json.dumps(self.pool.state_dict(), indent=2) + "\n"
            checkpoint.write_atomic(self.folder / "index.json", index.encode())
        self.kept.append(set(self.frozen))
        saved = self.ppo.state_dict()
        for part, playing in zip([saved, *saved["ranks"]], distributed.gather_first(self.playing()), strict=False):
            part["playing"] = playing
        return {
            **saved,
            "pool": self.pool.state_dict(),
            "league_generator": self.generator.get_state(),
            "next_snapshot": self.next_snapshot,
            "next_draw": self.next_draw,
            "next_rating": self.next_rating,
            "references": {name: list(rating) for name, rating in self.references.items()},
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave; learning then goes on as if it had not stopped.

        Raises:
            ValueError: a version's file is missing or damaged.
        """
        self.pool.load_state_dict(saved["pool"])
        playing = [name for part in (saved, *saved.get("ranks", [])) for name in part["playing"]]
        names = dict.fromkeys([*(one["name"] for one in saved["pool"]), *playing])
        scripted = _scripted(self.ppo.collector.envs.world, self.config.scripted)
        self.frozen = {name: scripted.get(name) or self._read(name) for name in names}
        self.kept.append(set(self.frozen))
        policies = [self.frozen[name] for name in distributed.own(saved)["playing"]]
        self.ppo.collector.set_opponents(policies, torch.zeros(self.ppo.collector.num_envs, dtype=torch.int64))
        self.ppo.load_state_dict(saved)
        self.generator.set_state(saved["league_generator"])
        for name in ("next_snapshot", "next_draw", "next_rating"):
            setattr(self, name, int(saved[name]))
        self.references = {name: Rating(*rating) for name, rating in saved["references"].items()}

    def freeze(self) -> None:
        """The learner as it is joins the pool; who is not in it, does not play, and is in neither of the last two
        checkpoints, goes."""
        name = f"step_{self.global_step:012d}"
        self.frozen[name] = self._frozen(self.policy.state_dict(), name)
        if self.folder is not None:
            checkpoint.save(self.folder / f"{name}.safetensors", {"policy": self.policy.state_dict()})
        self.pool.add(name)
        needed = {one.name for one in self.pool.members}.union(*distributed.gather(self.playing()))
        for gone in set(self.frozen) - needed:
            del self.frozen[gone]
        if self.folder is not None:
            needed = needed.union(*self.kept)
            for path in self.folder.glob("step_*.safetensors"):
                if path.stem not in needed:
                    path.unlink()

    def _read(self, name: str) -> Any:
        return self._frozen(distributed.from_first(lambda: self._weights(name)), name)

    def _weights(self, name: str) -> dict[str, Tensor]:
        if self.folder is None:
            raise ValueError(f"the past version {name} lies in a run folder; call use_folder first")
        try:
            return checkpoint.load(self.folder / f"{name}.safetensors")["policy"]
        except FileNotFoundError as error:
            raise ValueError(f"the past version {name} is not in {self.folder}; put its file back") from error

    def _frozen(self, weights: dict[str, Tensor], name: str) -> Any:
        envs = self.ppo.collector.envs
        policy = make_policy(envs, self.config)
        policy.load_state_dict(weights)
        policy.name = name  # pyright: ignore
        return policy.to(self.device).eval().requires_grad_(False)


def learn(envs: Any, config: Config, state: TrainState | None = None) -> Iterator[dict[str, float]]:
    """Learns until `config.total_timesteps`, counted in agent-steps of the learner.

    In several processes each has worlds of its own, its share of the past among them; pool and opponents are the same.

    Args:
        envs: what `envs.make_vec` gives, with all seats of a world of two teams.
        config: how.
        state: where to go on from; None begins anew.

    Yields:
        what `ppo.learn` yields, and "league/versions" (in the pool), "league/beaten" (the learner's mean share of the
        points against them), "league/past_games" (games against them in this iteration), "league/gamma" and
        "league/<knob>"; where a rating was due "league/rating", "league/rating_sigma" and "league/won_<reference>",
        the share of games won.
    """
    state = state or TrainState(envs, config)
    distributed.broadcast(state.policy.state_dict().values())
    rollout = ppo.new_rollout(state.ppo, config)
    while state.global_step < config.total_timesteps:
        prepare(state, config)
        now, turned = at(config, envs, state.global_step / config.total_timesteps)
        metrics = ppo.iterate(state.ppo, rollout, now) | turned
        metrics["league/past_games"] = record_games(state)
        metrics["league/versions"] = len(state.pool.members)
        metrics["league/beaten"] = sum(one.beaten for one in state.pool.members) / len(state.pool.members)
        if config.rate_every and state.global_step >= state.next_rating:
            metrics |= rate_learner(state, config) if distributed.rank() == 0 else {}
            state.next_rating += config.rate_every
        yield metrics


def at(config: Config, envs: Any, progress: float) -> tuple[Config, dict[str, float]]:
    """The config after a share of the run, 0..1, and the world's knobs turned to where they are then.

    Raises:
        ValueError: a knob that the world doesn't have, or a horizon where it has no time of its own.
    """
    now = copy.copy(ppo.at(config, progress))
    if now.horizon:
        if not envs.world.step_seconds:
            raise ValueError(f"horizon is in seconds, and {envs.world.name} has no time of its own; set gamma")
        vars(now)["gamma"] = float(np.exp(-envs.world.step_seconds * envs.world.frame_skip / now.horizon))
    knobs = {name: schedules.value(value, progress) for name, value in map(_knob, config.knobs)}
    if knobs:
        envs.set_params(**knobs)
    return now, {"league/gamma": now.gamma} | {f"league/{name}": value for name, value in knobs.items()}


def prepare(state: TrainState, config: Config) -> None:
    """A new version and new opponents, where they are due."""
    if state.global_step >= state.next_snapshot:
        state.freeze()
        state.next_snapshot = state.global_step + config.snapshot_every
    if config.past_share and state.global_step >= state.next_draw:
        opponents = [state.frozen[name] for name in state.pool.draw(config.opponents, state.generator)]
        owner = past_owners(config.num_envs, state.num_seats, config.past_share, len(opponents))
        state.ppo.collector.set_opponents(opponents, owner)
        levels = torch.tensor([0, *(one.level if isinstance(one, Scripted) else 0 for one in opponents)])
        state.ppo.collector.envs.set_control(levels[owner].reshape(-1, state.num_seats).numpy())
        state.next_draw = state.global_step + config.redraw_every


def _scripted(world: Any, names: tuple[str, ...]) -> dict[str, Scripted]:
    """A world's scripted players by name.

    Raises:
        ValueError: a name that it doesn't have.
    """
    known = level_names(world.scripted_levels)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"{world.name} has no scripted player {unknown[0]!r}; it has {', '.join(known) or 'none'}")
    return {name: Scripted(name, known.index(name) + 1) for name in names}


def rate_learner(state: TrainState, config: Config) -> dict[str, float]:
    """The learner's rating from games against the references, in worlds of its own."""
    world = state.ppo.collector.envs.world

    def make(num_worlds: int, seed: int) -> Any:
        return make_vec(world, num_worlds, seed=seed, seats="all", num_threads=1, autoreset_mode="Disabled")

    players = references(world.scripted_levels)
    if not state.references:
        state.references = calibrate(make, players, config.rating_games, seed=RATING_SEED)
    on_cpu = state.policy if state.device == "cpu" else copy.deepcopy(state.policy).cpu()
    learner = Player("learner", policy=on_cpu)
    tallies = {one.name: match(make, learner, one, config.rating_games, seed=RATING_SEED) for one in players}
    rating = rate(state.references, tallies, seed=RATING_SEED)
    won = {f"league/won_{name.replace(' ', '_')}": tally.won / tally.games for name, tally in tallies.items()}
    return {"league/rating": rating.mu, "league/rating_sigma": rating.sigma, **won}


def past_owners(num_worlds: int, num_seats: int, share: float, opponents: int) -> Tensor:
    """Who plays each row from its next episode on, int64 `[num_worlds * num_seats]`; of ranks, each its own rows.

    The last worlds are those with a past version in one team, by turns the first and the second.
    """
    own = num_worlds // distributed.size()
    owner = torch.zeros(own, 2, num_seats // 2, dtype=torch.int64)
    past = range(distributed.rank(), round(share * num_worlds), distributed.size())
    for place, number in enumerate(past, start=1):
        owner[own - place, (number // opponents) % 2] = 1 + number % opponents
    return owner.flatten()


def record_games(state: TrainState) -> int:
    """Tells the pool how the learner's games against past versions ended, on all ranks; returns how many there were."""
    results, names = [], state.playing()
    for owner, ended, episode in state.ppo.collector.episodes.pop_games():
        ended, by_world = ended.cpu(), owner.cpu().reshape(-1, state.num_seats)
        won, lost = (torch.as_tensor(episode[name]).cpu().reshape(-1, state.num_seats) for name in ("won", "lost"))
        for world in (ended.reshape(-1, state.num_seats)[:, 0] & (by_world > 0).any(1)).nonzero().flatten().tolist():
            seat = int((by_world[world] == 0).nonzero()[0])
            points = 0.5 + 0.5 * float(won[world, seat] - lost[world, seat])
            results.append((names[int(by_world[world].max()) - 1], points))
    everywhere = [result for its_results in distributed.gather(results) for result in its_results]
    for name, points in everywhere:
        state.pool.record(name, points)
    return len(everywhere)
