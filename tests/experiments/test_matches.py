"""Games between players: both sides are played, and a policy plays as it does alone."""

from typing import Any

import torch

import envs
from agents import ppo
from experiments.matches import Player, Tally, match, play

EASY, RANDOM = Player("easy", 1), Player("random")


def duels(number: int, seed: int) -> Any:
    return envs.make_vec("quintet/Duel-v0", number, seed=seed, seats="all", num_threads=1, autoreset_mode="Disabled")


def test_easy_beats_random_from_both_sides() -> None:
    assert match(duels, EASY, RANDOM, 20, seed=3) == Tally(20, 0, 0)
    assert match(duels, RANDOM, EASY, 19, batch=4, seed=3) == Tally(0, 20, 0)


def test_a_policy_holds_its_team_alone() -> None:
    batch = duels(3, 1)
    torch.manual_seed(0)
    layouts = (batch.action_layout, batch.obs_layout)
    config = ppo.Config(memory="gru", memory_size=8, hidden_sizes=(8,))
    policy = ppo.make_policy(batch.single_observation_space, batch.single_action_space, config, *layouts)
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
