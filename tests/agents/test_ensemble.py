"""An ensemble's choice is that of a mean computed by hand, and one of its like acts as it does alone."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents import ddpg, dqn, ppo, tabular_q
from agents.distributions import Categorical, Parts
from agents.ensemble import Ensemble, most_probable
from agents.evaluate import evaluate
from tests.probe_envs import Recall

BOX = spaces.Box(-1, 1, (3,), np.float32)


def categorical(*probabilities: float) -> Categorical:
    return Categorical(torch.tensor([probabilities]).log(), None)


def test_the_mean_of_probabilities_not_of_votes_nor_of_logits() -> None:
    """Two of three prefer 1 and 2 by little, one 0 by much: the means are 0.5, 0.26, 0.24."""
    members = [categorical(0.9, 0.05, 0.05), categorical(0.3, 0.4, 0.3), categorical(0.3, 0.33, 0.37)]
    assert most_probable(members).tolist() == [0]
    unsure = [categorical(0.6, 0.4 - 1e-9, 1e-9), categorical(1e-9, 0.4, 0.6 - 1e-9)]  # means 0.3, 0.4, 0.3
    assert most_probable(unsure).tolist() == [1]


def test_a_part_is_averaged_given_the_first_choice_weighted_by_who_makes_it() -> None:
    """Verb 1 has 0.9 and 0.2: its targets' means are by those weights, (0.9 * 0.6, 0.9 * 0.4 + 0.2 * 1)."""

    def parts(verb: float, target: float) -> Parts:
        logits = torch.tensor([[1 - verb, verb, target, 1 - target]]).log()
        return Parts(logits, None, (2, 2), (1,), [torch.tensor([-1, 0])])

    assert most_probable([parts(0.9, 0.6), parts(0.2, 1e-6)]).tolist() == [[1, 1]]  # 0.54 against 0.56
    assert most_probable([parts(0.9, 0.65), parts(0.2, 1e-6)]).tolist() == [[1, 0]]  # 0.585 against 0.515
    assert most_probable([parts(0.1, 0.1), parts(0.2, 0.1)]).tolist() == [[0, 0]], "verb 0 uses no target"


def test_the_mean_of_values() -> None:
    """By tables: state 0 has means 2, 3; the mask leaves 2."""
    tables = []
    for values in ((4.0, 1.0), (0.0, 5.0)):
        policy = tabular_q.TablePolicy(spaces.Discrete(2), spaces.Discrete(2, start=7), tabular_q.Config())
        policy.tables[0, 0] = torch.tensor(values)
        tables.append(policy)
    ensemble = Ensemble(tables, spaces.Discrete(2, start=7))
    given = (torch.tensor([0, 0]), torch.tensor([[True, True], [True, False]]), torch.zeros(2, 0), torch.ones(2))
    assert ensemble.act(*given, deterministic=True)[0].tolist() == [8, 7]


def test_the_mean_of_actions_within_the_bounds() -> None:
    """0.5 and 9, which counts as the bound 2, give 1.25."""
    space = spaces.Box(-2, 2, (1,), np.float32)
    members = []
    for mean in (0.5, 9.0):
        policy = ppo.Policy(BOX, space, ppo.Config())
        policy.actor.layers[-1].weight.data.zero_()  # pyright: ignore
        policy.actor.layers[-1].bias.data.fill_(mean)  # pyright: ignore
        members.append(policy)
    obs, starts = torch.randn(4, 3), torch.ones(4, dtype=torch.bool)
    actions, _ = Ensemble(members, space).act(obs, None, torch.zeros(4, 0), starts, deterministic=True)
    assert torch.allclose(actions, torch.full((4, 1), 1.25))


def test_drawn_actions_are_drawn_from_the_members() -> None:
    """Two that are sure of different actions: each half the time."""
    members: Any = [
        SimpleNamespace(
            act=lambda obs, mask, memory, starts, generator, k=k: (torch.full((len(obs),), k), memory),
            initial_memory=lambda n: torch.zeros(n, 0),
        )
        for k in (3, 5)
    ]
    generator = torch.Generator().manual_seed(0)
    given = (torch.zeros(1000, 3), None, torch.zeros(1000, 0), torch.ones(1000))
    actions, _ = Ensemble(members, spaces.Discrete(6)).act(*given, generator=generator)
    assert set(actions.tolist()) == {3, 5} and 450 < (actions == 3).sum() < 550


@pytest.mark.parametrize("algorithm", ["ppo", "parts", "lstm", "dqn", "ddpg"])
def test_several_of_the_same_are_the_one(algorithm: str) -> None:
    """And each remembers its own."""
    torch.manual_seed(0)
    action_space: spaces.Space = {
        "ddpg": spaces.Box(-2, 2, (2,), np.float32),
        "parts": spaces.MultiDiscrete([3, 4]),
    }.get(algorithm, spaces.Discrete(3))
    if algorithm in ("dqn", "ddpg"):
        module: Any = {"dqn": dqn, "ddpg": ddpg}[algorithm]
        policy = module.Policy(BOX, action_space, module.Config())
    else:
        config = ppo.Config(memory="lstm" if algorithm == "lstm" else "", memory_size=8)
        policy = ppo.Policy(BOX, action_space, config)
    ensemble = Ensemble([policy] * 3, action_space)
    alone, together = policy.initial_memory(16), ensemble.initial_memory(16)
    for step in range(4):
        obs, starts = torch.randn(16, 3), torch.full((16,), step == 0)
        with torch.no_grad():
            action, alone = policy.act(obs, None, alone, starts, deterministic=True)
            same, together = ensemble.act(obs, None, together, starts, deterministic=True)
        assert torch.allclose(action.float(), same.float(), atol=1e-6)
        assert torch.allclose(together, alone.repeat(1, 3), atol=1e-6)


@pytest.mark.parametrize("deterministic", [True, False])
def test_an_ensemble_plays_whole_episodes(deterministic: bool) -> None:
    envs = Recall(4, delay=3)
    config = ppo.Config(memory="gru", memory_size=8)
    members = [ppo.make_policy(envs, config) for _ in range(2)]
    ensemble = Ensemble(members, envs.single_action_space)
    assert evaluate(ensemble, envs, 8, deterministic=deterministic).episodes == 8


def test_what_has_no_mean_is_refused() -> None:
    space = spaces.Discrete(2)
    members = [dqn.Policy(BOX, space, dqn.Config()), ppo.Policy(BOX, space, ppo.Config())]
    with pytest.raises(ValueError, match="have no mean"):
        Ensemble(members, space)
    with pytest.raises(ValueError, match="at least one"):
        Ensemble([], space)
