"""Returns beside stable-baselines3: both sides have the same settings, and what is said of them."""

import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from experiments.bench import returns as bench_returns
from experiments.cli import main

with_sb3 = pytest.mark.skipif(importlib.util.find_spec("stable_baselines3") is None, reason="needs the extra sb3")


def num_parameters(*modules: Any) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


@with_sb3
@pytest.mark.parametrize("algorithm", bench_returns.SETTINGS)
def test_both_sides_have_the_same_network_and_hyperparameters(algorithm: str) -> None:
    import envs

    bench, env_id = bench_returns._bench(algorithm), bench_returns.SETTINGS[algorithm][0]
    config, model = bench.config(), bench.model()
    worlds = envs.make_vec(f"quintet/{env_id}", config.num_envs, num_threads=1)
    state = importlib.import_module(f"agents.{algorithm}").TrainState(worlds, config)
    assert (config.learning_rate, config.gamma, config.num_envs) == (model.learning_rate, model.gamma, model.n_envs)
    if algorithm == "ppo":
        assert num_parameters(state.policy) == num_parameters(model.policy)
        steps = config.num_envs * config.num_steps
        assert (config.num_steps, steps // config.num_minibatches) == (model.n_steps, model.batch_size)
        assert (config.update_epochs, config.gae_lambda) == (model.n_epochs, model.gae_lambda)
        assert (config.ent_coef, config.vf_coef) == (model.ent_coef, model.vf_coef)
        assert (config.clip_coef, config.max_grad_norm) == (model.clip_range(1), model.max_grad_norm)
        assert not config.clip_vloss and model.clip_range_vf is None
        return
    assert (config.batch_size, config.buffer_size) == (model.batch_size, model.buffer_size)
    assert (config.learning_starts, config.tau, config.train_frequency) == (model.learning_starts, model.tau, 1)
    if algorithm == "dqn":
        assert num_parameters(state.policy) == num_parameters(model.q_net)
        assert (config.target_network_frequency, config.max_grad_norm) == (10_000, model.max_grad_norm)
        assert model.target_update_interval == 10_000 and model.exploration_schedule(0) == config.epsilon
    else:
        assert num_parameters(state.policy) == num_parameters(model.actor)
        assert num_parameters(state.critics) == num_parameters(model.critic)


def test_returns_are_told_as_means_with_intervals() -> None:
    found = {"algorithm": "ppo", "env": "CartPole-v1", "steps": 1000, "ours": [8.0, 10.0, 12.0], "theirs": [9.0]}
    assert " ".join(bench_returns.line(found).split()) == "ppo on CartPole-v1, 1,000 steps, 3 seeds 10.0 ± 5.0 9.0"


def test_an_algorithm_takes_the_place_of_its_earlier_returns_alone(tmp_path: Path) -> None:
    path = tmp_path / "returns.json"
    for algorithm, mean in (("ppo", 1.0), ("dqn", 2.0), ("ppo", 3.0)):
        bench_returns.keep({"algorithm": algorithm, "ours": [mean]}, path)
    kept = {entry["algorithm"]: entry["ours"] for entry in json.loads(path.read_text())["returns"]}
    assert kept == {"ppo": [3.0], "dqn": [2.0]}


def test_ours_learns_from_so_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bench_returns.SETTINGS, "ppo", ("CartPole-v1", 20_480))
    monkeypatch.setattr(bench_returns, "EPISODES", 20)
    untrained = 22
    assert bench_returns.ours("ppo", 1) > 3 * untrained


def test_means_that_come_in_are_paired_seed_by_seed() -> None:
    found = bench_returns.compare("dqn", 2, iter([1.0, 2.0, 3.0, 4.0]))
    assert (found["ours"], found["theirs"]) == ([1.0, 3.0], [2.0, 4.0])


@with_sb3
def test_an_unknown_algorithm_is_told(capsys: pytest.CaptureFixture) -> None:
    assert main(["bench", "returns", "--algorithm", "dpg"]) == 2
    assert "no settings for 'dpg' (did you mean 'ddpg'?)" in capsys.readouterr().err


@with_sb3
def test_no_training_at_a_time_is_refused(capsys: pytest.CaptureFixture) -> None:
    assert main(["bench", "returns", "--jobs", "0"]) == 2
    assert "--jobs must be at least 1, got 0" in capsys.readouterr().err
