"""Self-play: who holds which seats, how games against the past are counted, and a run that was cut goes on the same."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import envs
from agents import checkpoint
from agents.owners import Scripted
from experiments import selfplay
from experiments.cli import main
from experiments.selfplay import Config, TrainState, learn, past_owners, record_games

SMALL = Config(
    num_envs=10,
    num_steps=32,
    hidden_sizes=(16,),
    memory="lstm",
    memory_size=16,
    normalize_obs=True,
    total_timesteps=4_000,
    snapshot_every=600,
    redraw_every=500,
    pool_size=3,
    opponents=2,
    rate_every=3_000,
    rating_games=2,
)


def duels(seed: int = 1) -> Any:
    """Short ones, so that games end while a test watches."""
    batch = envs.make_vec("quintet/Duel-v0", SMALL.num_envs, seed=seed, seats="all", num_threads=1)
    batch.set_params(max_episode_steps=40)
    return batch


def test_past_versions_hold_one_team_of_the_last_worlds_by_turns() -> None:
    rows = past_owners(num_worlds=10, num_seats=4, share=0.4, opponents=2).reshape(10, 2, 2)
    assert not rows[:6].any()
    assert [world.tolist() for world in rows[6:]] == [
        [[0, 0], [2, 2]],
        [[0, 0], [1, 1]],
        [[2, 2], [0, 0]],
        [[1, 1], [0, 0]],
    ]


def test_a_run_that_was_cut_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole = TrainState(duels(), SMALL)
    whole.use_folder(make(tmp_path / "whole"))
    rated = [metrics for metrics in learn(whole.ppo.collector.envs, SMALL, whole) if "league/rating" in metrics]
    assert len(rated) == 1 and rated[0]["league/won_hard"] == 0 and next(iter(whole.references)) == "random"
    cut = TrainState(duels(), SMALL)
    cut.use_folder(make(tmp_path / "cut"))
    iterations = learn(cut.ppo.collector.envs, SMALL, cut)
    for _ in range(4):
        next(iterations)
    assert cut.playing() and len(cut.pool.members) > 1
    checkpoint.save(tmp_path / "cut.safetensors", cut.state_dict())
    next(iterations)
    resumed = TrainState(duels(seed=5), SMALL)
    resumed.use_folder(tmp_path / "cut")
    resumed.load_state_dict(checkpoint.load(tmp_path / "cut.safetensors"))
    for _ in learn(resumed.ppo.collector.envs, SMALL, resumed):
        pass
    for name, state in (("a", whole), ("b", resumed)):
        checkpoint.save(tmp_path / name, state.state_dict())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert len(whole.pool.members) == 3 and whole.pool.members[0].name != "step_000000000000"
    files = {path.stem for path in (tmp_path / "whole" / "pool").glob("step_*")}
    assert {one.name for one in whole.pool.members} <= files


def test_the_last_checkpoint_but_one_finds_its_past_versions(tmp_path: Path) -> None:
    state = TrainState(duels(), SMALL)
    state.use_folder(make(tmp_path / "run"))
    saved = []
    for _ in learn(state.ppo.collector.envs, SMALL, state):
        saved.append(state.state_dict())
    members = [{one["name"] for one in part["pool"]} for part in saved]
    assert members[-1] - members[-2], "a version was frozen between the two"
    for part in saved[-2:]:
        other = TrainState(duels(), SMALL)
        other.use_folder(tmp_path / "run")
        other.load_state_dict(part)
        assert other.global_step == part["global_step"]


def make(path: Path) -> Path:
    """A folder."""
    path.mkdir()
    return path


def test_games_against_the_past_are_counted_for_the_version_that_played() -> None:
    state = TrainState(duels(), SMALL)
    for name in ("one", "two"):
        state.pool.add(name)
        state.frozen[name] = state._frozen(state.policy.state_dict(), name)
    collector = state.ppo.collector
    collector.set_opponents([state.frozen["one"], state.frozen["two"]], torch.zeros(20, dtype=torch.int64))
    owner = torch.tensor([[0, 0], [0, 1], [2, 0], [0, 2], [1, 0]]).flatten()
    ended = torch.tensor([True, True, True, False, True]).repeat_interleave(2)
    won = torch.tensor([[1, 0], [1, 0], [1, 0], [1, 0], [0, 0]]).flatten().float()
    lost = torch.tensor([[0, 1], [0, 1], [0, 1], [0, 1], [0, 0]]).flatten().float()
    collector.episodes._games = [(owner, ended, {"won": won, "lost": lost})]
    assert record_games(state) == 3
    one, two = state.pool.members
    assert (one.games, one.points) == pytest.approx((1.99, 1.49))
    assert (two.games, two.points) == (1, 0)


def test_the_past_is_met_and_does_not_teach() -> None:
    state = TrainState(duels(), SMALL)
    iterations = learn(state.ppo.collector.envs, SMALL, state)
    games = sum(next(iterations)["league/past_games"] for _ in range(4))
    assert games > 0
    assert state.global_step < 4 * SMALL.num_envs * 2 * SMALL.num_steps


def test_scripted_players_of_the_pool_play_their_worlds_themselves_and_are_counted() -> None:
    config = replace(SMALL, scripted=("hard",), past_share=0.5, opponents=3, rate_every=0)
    state = TrainState(duels(), config)
    batch, games, scripted_rows = state.ppo.collector.envs, 0.0, 0
    for metrics in learn(batch, config, state):
        games += metrics["league/past_games"]
        owners = state.ppo.collector.owners
        by_script = torch.tensor([0, *(isinstance(one, Scripted) for one in owners.opponents)])[owners.owner]
        begun = ~state.ppo.collector.starts
        assert (torch.from_numpy(batch.state["control"].copy()).flatten() == 3 * by_script)[begun].all()
        scripted_rows += int(by_script.sum())
    hard = state.pool.members[0]
    assert hard.name == "hard" and hard.stays and 0 < hard.games < games and scripted_rows
    assert len(state.pool.members) == 1 + SMALL.pool_size
    resumed = TrainState(duels(), config)
    resumed.load_state_dict(state.state_dict() | {"playing": ["hard"], "pool": state.pool.state_dict()[:1]} | owned(1))
    assert isinstance(resumed.ppo.collector.owners.opponents[0], Scripted)


def owned(opponents: int) -> dict[str, Any]:
    """A collector's saved state in which nobody of so many opponents has played."""
    collector = TrainState(duels(), SMALL).ppo.collector
    saved = collector.state_dict()
    return {"collector": saved | {"owners": saved["owners"] | {"opponents": opponents, "memories": []}}}


def test_horizon_and_knobs_turn_while_it_trains() -> None:
    knobs = ("team_spirit=linear:0.2:1", "reward_win=7")
    config = replace(SMALL, horizon="linear:10:40", knobs=knobs, rate_every=0)
    batch = duels()
    seen = list(learn(batch, config))
    assert seen[0]["league/gamma"] == pytest.approx(math.exp(-0.2 / 10))
    assert 0.98 < seen[0]["league/gamma"] < seen[-1]["league/gamma"] < math.exp(-0.2 / 40)
    assert seen[0]["league/team_spirit"] == pytest.approx(0.2) and 0.8 < seen[-1]["league/team_spirit"] < 1
    assert batch.params["team_spirit"][0] == pytest.approx(seen[-1]["league/team_spirit"])
    assert batch.params["reward_win"][0] == 7


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("league quintet/Duel-v0 --scripted best", "no scripted player 'best'; it has easy, medium, hard"),
        ("league quintet/Duel-v0 --knobs team_spirit", "NAME=NUMBER or NAME=SCHEDULE, got 'team_spirit'"),
        ("league quintet/Duel-v0 --knobs team_spirit=up", "neither a number nor a schedule"),
        ("league quintet/Duel-v0 --knobs luck=1", "no param 'luck'"),
        ("league quintet/CartPole-v1", "two teams that says who won"),
        ("league quintet/Duel-v0 --past-share 1", "below 1, got 1"),
        ("league quintet/Duel-v0 --team-size 2", "team_size = 2 does not divide the 1 seat of a side; use 1"),
        ("league quintet/Arena-v0 --team-size 10", "does not divide the 5 seats of a side; use 5, or 1"),
        ("league quintet/Duel-v0 --opponent-rule best", "one of quality, pfsp, uniform"),
        ("league quintet/Duel-v0 --pool-size 0", "pool_size must be at least 1"),
    ],
)
def test_bad_input_is_told_in_a_line(line: str, said: str, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    assert main([*line.split(), "--runs-dir", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
    assert selfplay.SEATS == "all" and not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", ["tiny", "small", "medium", "large", "gpu"])
def test_every_size_of_a_recurrent_policy_is_a_preset(size, tmp_path):
    words = f"league quintet/Duel-v0 --preset {size} --num-envs 4 --num-steps 16 --total-timesteps 64 --rate-every 0"
    small = "--num-minibatches 1 --eval-episodes 0 --device cpu --runs-dir"
    if size in ("medium", "large", "gpu"):
        small = f"--memory-size 8 --hidden-sizes 8 --entity-size 8 --precision float32 {small}"
    assert main([*words.split(), *small.split(), str(tmp_path)]) == 0
