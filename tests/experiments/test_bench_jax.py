"""PPO beside JAX: both sides play the same game and learn by the same loss."""

import importlib.util
from dataclasses import asdict

import gymnasium
import numpy as np
import pytest
import torch

from agents import ppo
from agents.minibatches import Batch, standardise
from experiments.bench import jax_loop as bench_jax
from experiments.cli import main
from tests.probe_envs import Anything, sync

HAS_JAX = importlib.util.find_spec("jax") is not None and importlib.util.find_spec("optax") is not None
needs_jax = pytest.mark.skipif(not HAS_JAX, reason="needs the extra jax")


def test_flags_say_where_the_other_hyperparameters_differ_from_the_preset() -> None:
    assert bench_jax._flag("num_steps", 128) == "--num-steps 128"
    assert bench_jax._flag("clip_vloss", False) == "--no-clip-vloss"
    steps, solve = (bench_jax.configs(3)[what] for what in ("steps", "solve"))
    assert (steps.num_envs, steps.num_steps, steps.learning_rate, steps.seed) == (8, 128, 2.5e-4, 3)
    assert bench_jax.STEPS % (steps.num_envs * steps.num_steps) == 0 and steps.total_timesteps == bench_jax.STEPS
    assert solve.num_envs == 16 and solve.seed == 3


@pytest.mark.skipif(HAS_JAX, reason="it is installed")
def test_without_the_extra_it_says_what_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "jax"]) == 2
    assert "pip install 'quintet[jax]'" in capsys.readouterr().err


@needs_jax
def test_its_cartpole_is_gymnasium_s() -> None:
    from experiments.bench import reference_jax as reference

    env = gymnasium.make("CartPole-v1")
    obs, _ = env.reset(seed=1)
    world = reference.jnp.append(reference.jnp.asarray(obs), 0.0)
    for tick in range(60):
        action = int(np.sin(tick) > 0)
        obs, _, terminated, _, _ = env.step(action)
        world, done = reference.step(world, action, reference.jax.random.PRNGKey(0))
        assert bool(done) == terminated
        if terminated:
            assert tick > 10 and world[4] == 0 and abs(world[:4]).max() <= 0.05
            break
        assert np.allclose(world[:4], obs, atol=1e-4)


@needs_jax
@pytest.mark.parametrize("clip_vloss", [False, True])
def test_its_gradient_is_ours(clip_vloss: bool) -> None:
    from experiments.bench import reference_jax as reference

    config = ppo.Config(num_envs=2, clip_vloss=clip_vloss, ent_coef=0.1, max_grad_norm=0)
    space, choice = gymnasium.spaces.Box(-1, 1, (4,)), gymnasium.spaces.Discrete(2)
    state = ppo.TrainState(sync(*[lambda: Anything(space, choice)] * 2), config)
    torch.manual_seed(0)
    with torch.no_grad():
        state.optimizer.flat.mul_(3)
    rows = 4096  # its standard deviation is that of a population
    values = {name: torch.randn(rows) for name in ("values", "advantages", "returns")}
    obs, actions, log_probs = torch.randn(rows, 4), torch.randint(0, 2, (rows,)), -torch.rand(rows)
    numbers = [x.numpy() for x in (obs, actions, log_probs, values["values"])]
    weights = [parameter.detach().numpy().copy() for parameter in state.policy.parameters()]
    layers = [(weight.T, bias) for weight, bias in zip(weights[::2], weights[1::2], strict=True)]
    params = {"actor": layers[:3], "critic": layers[3:]}
    given = values["advantages"].numpy(), values["returns"].numpy(), asdict(config)
    found = reference.jax.grad(reference.loss)(params, reference.Steps(*numbers, dones=None, lengths=None), *given)
    batch = Batch(obs, None, actions, log_probs, **values)
    standardise([batch])
    ppo.minibatch_step(state, batch, config)
    both = [(weight.T.ravel(), bias) for weight, bias in [*found["actor"], *found["critic"]]]
    flat = np.concatenate([np.asarray(part) for pair in both for part in pair])
    assert abs(flat).max() > 0.1 and np.allclose(flat, state.optimizer.grad, atol=1e-3 * abs(flat).max())
