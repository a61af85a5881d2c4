"""What needs a GPU (`make test-gpu`): recorded iterations are those of plain calls, and nothing in them waits."""

import copy
import shutil
import subprocess
import sys
from dataclasses import replace

import gymnasium
import pytest
import torch
from gymnasium.vector import AutoresetMode

import envs
from agents import ddpg, dqn, ppo, schedules
from tests.opponents import iterate_beside_opponents

pytestmark = pytest.mark.gpu

PPO = ppo.Config(num_envs=64, num_steps=16, num_minibatches=2, update_epochs=2, total_timesteps=64 * 16 * 8)


def learned(module, name, config, count):
    """Metrics and weights after a run."""
    if "/" in name:
        worlds = envs.make_vec(name, count, device="cuda")
    else:
        mode = {"autoreset_mode": AutoresetMode.SAME_STEP}
        worlds = gymnasium.make_vec(name, count, vectorization_mode="sync", vector_kwargs=mode)
    state = module.TrainState(worlds, replace(config, num_envs=worlds.num_envs), "cuda")
    metrics = list(module.learn(worlds, replace(config, num_envs=worlds.num_envs), state))
    return metrics, torch.cat([value.flatten().float() for value in state.policy.state_dict().values()]), state


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("quintet/CartPole-v1", {"normalize_obs": True, "normalize_reward": True}),
        ("quintet/CartPole-v1", {"memory": "lstm", "ent_coef": "linear:0.01:0", "target_kl": 0.02}),
        ("quintet/Pendulum-v1", {}),
        ("quintet/Duel-v0", {"network": "entities", "memory": "gru"}),
    ],
)
def test_recorded_iterations_of_ppo_are_those_of_plain_calls(name, options):
    config = replace(PPO, **options)
    count = 64 if "Duel" not in name else 32
    recorded, weights, state = learned(ppo, name, config, count)
    plain, expected, _ = learned(ppo, name, replace(config, cuda_graphs=False), count)
    assert state.graphs._recorded
    assert torch.equal(weights, expected)
    for one, other in zip(recorded, plain, strict=True):
        assert one == pytest.approx(other, nan_ok=True)


@pytest.mark.parametrize("options", [{"normalize_obs": True, "normalize_reward": True}, {"memory": "lstm"}])
def test_recorded_iterations_beside_opponents_are_those_of_plain_calls(options):
    found = []
    for cuda_graphs in (True, False):
        worlds = envs.make_vec("quintet/Duel-v0", 32, device="cuda")
        worlds.set_params(max_episode_steps=23)
        config = replace(PPO, num_envs=64, cuda_graphs=cuda_graphs, **options)
        state = ppo.TrainState(worlds, config, "cuda")
        metrics, games = iterate_beside_opponents(state, config, free=40, each=5)
        assert bool(state.graphs._recorded) == cuda_graphs and games > 24
        weights = torch.cat([value.flatten().float() for value in state.policy.state_dict().values()])
        found.append((metrics, games, weights))
    (metrics, games, weights), (others, theirs, expected) = found
    assert torch.equal(weights, expected) and games == theirs
    for one, other in zip(metrics, others, strict=True):
        assert one == pytest.approx(other, nan_ok=True)


@pytest.mark.parametrize("options", [{}, {"prioritized": True, "double": True, "head": "quantile", "n_steps": 3}])
def test_recorded_updates_of_dqn_are_those_of_plain_calls(options):
    config = dqn.Config(total_timesteps=4096, learning_starts=512, buffer_size=4096, **options)
    _, weights, state = learned(dqn, "quintet/CartPole-v1", config, 8)
    _, expected, _ = learned(dqn, "quintet/CartPole-v1", replace(config, cuda_graphs=False), 8)
    assert state.graphs._recorded
    assert torch.equal(weights, expected)


@pytest.mark.parametrize("options", [{}, {"twin_critics": True, "target_noise": 0.2, "policy_delay": 2}])
def test_recorded_updates_of_ddpg_are_those_of_plain_calls(options):
    config = ddpg.Config(total_timesteps=4096, learning_starts=512, buffer_size=4096, **options)
    _, weights, state = learned(ddpg, "quintet/Pendulum-v1", config, 8)
    _, expected, _ = learned(ddpg, "quintet/Pendulum-v1", replace(config, cuda_graphs=False), 8)
    assert state.graphs._recorded
    assert torch.equal(weights, expected)


@pytest.mark.parametrize(
    ("module", "name", "config"),
    [
        (ppo, "CartPole-v1", replace(PPO, num_envs=8, total_timesteps=8 * 16 * 8)),
        (dqn, "CartPole-v1", dqn.Config(total_timesteps=4096, learning_starts=512, buffer_size=4096)),
        (ddpg, "Pendulum-v1", ddpg.Config(total_timesteps=4096, learning_starts=512, buffer_size=4096)),
    ],
)
def test_updates_are_recorded_with_environments_on_the_host(module, name, config):
    _, weights, state = learned(module, name, config, 8)
    _, expected, _ = learned(module, name, replace(config, cuda_graphs=False), 8)
    assert state.graphs._recorded
    assert torch.equal(weights, expected)


@pytest.mark.parametrize("opponents", [False, True])
@pytest.mark.parametrize("name", ["quintet/CartPole-v1", "quintet/Duel-v0"])
def test_nothing_that_is_recorded_waits_for_the_device(name, opponents):
    worlds = envs.make_vec(name, 32, device="cuda")
    config = replace(PPO, num_envs=worlds.num_envs, cuda_graphs=False)
    state = ppo.TrainState(worlds, config, "cuda")
    if opponents:
        owner = torch.arange(worlds.num_envs) % 2
        state.collector.set_opponents([copy.deepcopy(state.policy).eval()], owner)
    rollout, now = state.collector.new_rollout(config.num_steps), ppo.at(config, 0.0)
    ppo.iterate(state, rollout, now)
    torch.cuda.set_sync_debug_mode("error")
    try:
        ppo.collect(state, rollout)
        batch = ppo.estimate(state, rollout, now)
        ppo.epoch(state, batch, now)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_nothing_that_dqn_records_waits_for_the_device():
    worlds = envs.make_vec("quintet/CartPole-v1", 8, device="cuda")
    config = dqn.Config(num_envs=8, learning_starts=64, buffer_size=1000, cuda_graphs=False)
    state, now = dqn.TrainState(worlds, config, "cuda"), schedules.at(config, 0.0)
    for _ in range(16):
        dqn.collect(state, now)
    dqn.update(state, now)
    torch.cuda.set_sync_debug_mode("error")
    try:
        dqn.collect(state, now)
        with state.policy.features.no_autograd():
            dqn.descend(state, now)
    finally:
        torch.cuda.set_sync_debug_mode("default")


STEPS = """
import torch, envs
from envs.engine import cuda_driver
cuda_driver.MULTIPROCESSORS = 1
for name in ("quintet/CartPole-v1", "quintet/Duel-v0"):
    worlds = envs.make_vec(name, 4, device="cuda")
    worlds.reset(seed=0)
    worlds.action_space.seed(0)
    for _ in range(20):
        worlds.step(torch.as_tensor(worlds.action_space.sample()).cuda())
"""


@pytest.mark.parametrize("tool", ["racecheck", "memcheck"])
def test_the_sanitizer_finds_nothing_in_the_kernels(tool):
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        pytest.skip("compute-sanitizer is not installed")
    quiet = ["--report-api-errors", "no"]  # numba asks the driver for functions that it may not have
    command = [sanitizer, "--tool", tool, "--error-exitcode", "9", *quiet, sys.executable, "-c", STEPS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    if "not supported" in done.stdout + done.stderr:
        pytest.skip("compute-sanitizer does not work with this device or driver")
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
