"""Games between players: both sides are played, and a policy plays as it does alone."""

from typing import Any

import torch

import envs
from agents import ppo
from experiments.matches import Player, Tally, match, play
from tests.probe_worlds import pennies

EASY, RANDOM = Player("easy", 1), Player("random")


def duels(number: int, seed: int) -> Any:
    return envs.make_vec("quintet/Duel-v0", number, seed=seed, seats="all", num_threads=1, autoreset_mode="Disabled")


def test_easy_beats_random_from_both_sides() -> None:
    assert match(duels, EASY, RANDOM, 20, seed=3) == Tally(20, 0, 0)
    assert match(duels, RANDOM, EASY, 19, batch=4, seed=3) == Tally(0, 20, 0)


def test_random_play_of_one_choice_wins_half_and_is_legal() -> None:
    def make(number: int, seed: int) -> Any:
        return envs.make_vec(pennies(), number, seed=seed, num_threads=1, autoreset_mode="Disabled")

    tally = match(make, RANDOM, Player("other"), 400, seed=1)
    assert tally.games == 400 and 160 < tally.won < 240 and tally.drawn == 0


def test_a_policy_holds_its_team_alone() -> None:
    batch = duels(3, 1)
    torch.manual_seed(0)
    config = ppo.Config(memory="gru", memory_size=8, hidden_sizes=(8,))
    policy = ppo.make_policy(batch, config)
    seen = []
    act = policy.act

    def watched(obs: Any, mask: Any, memory: Any, starts: Any, **rest: Any) -> Any:
        actions, later = act(obs, mask, memory, starts, **rest)
        seen.append((len(obs), bool(starts.all()), bool(starts.any()), bool((memory == 0).all())))
        return actions, later

    policy.act = watched  # pyright: ignore
    play(batch, Player("learner", policy=policy), EASY)
    assert seen[0] == (3, True, True, True) and {one[2:] for one in seen[1:]} == {(False, False)}
    assert batch.state["illegal"].sum() == 0
    assert (batch.state["control"] == [0, 1]).all()


def test_a_policy_that_acts_every_third_tick_plays_as_in_steps_of_three() -> None:
    ends = []
    for frame_skip, every in ((3, 1), (1, 3)):
        batch = envs.make_vec(
            "quintet/Duel-v0", 6, seed=2, num_threads=1, autoreset_mode="Disabled", frame_skip=frame_skip, minutes=3
        )
        torch.manual_seed(0)
        config = ppo.Config(memory="gru", memory_size=8, hidden_sizes=(8,))
        policy = ppo.make_policy(batch, config)
        play(batch, Player("learner", policy=policy, every=every), EASY, seed=4)
        ends.append({name: batch.state[name].copy() for name in ("tick", "won", "earned", "health", "x", "kills")})
        assert batch.params.hold.tolist() == [[3, 3 // every]]
    for name, values in ends[0].items():
        assert (values == ends[1][name]).all(), name
    assert len(set(ends[0]["tick"].tolist())) > 1
