"""One flat Adam beside torch's own, on the same gradients."""

import pytest
import torch
from torch import nn

import envs
from agents import ddpg, dqn, ppo
from agents.optimizer import FlatAdam


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_the_flat_optimiser_goes_where_torch_s_adamw_goes(weight_decay: float) -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    flat = FlatAdam([ours], 0.01, weight_decay=weight_decay)
    listed = torch.optim.AdamW(theirs.parameters(), 0.01, weight_decay=weight_decay)
    for _ in range(5):
        x = torch.randn(8, 3)
        for layer, optimizer in ((ours, flat), (theirs, listed)):
            optimizer.zero_grad()
            layer(x).square().sum().backward()
            nn.utils.clip_grad_norm_(layer.parameters(), 1.0) if layer is theirs else None
        flat.step(max_grad_norm=1.0)
        listed.step()
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-6) and torch.allclose(ours.bias, theirs.bias, atol=1e-6)


@pytest.mark.parametrize(("algorithm", "env_id"), [(ppo, "CartPole"), (dqn, "CartPole"), (ddpg, "Pendulum")])
def test_weights_that_decay_end_smaller(algorithm, env_id: str) -> None:
    sizes = {"num_envs": 2, "total_timesteps": 256, "learning_rate": 1e-3, "hidden_sizes": (16,)}
    more = {"num_steps": 32} if algorithm is ppo else {"learning_starts": 64, "batch_size": 16, "buffer_size": 256}
    norms = []
    for weight_decay in (0.0, 50.0):
        worlds = envs.make_vec(f"quintet/{env_id}-v1", 2, num_threads=1)
        config = algorithm.Config(**sizes, **more, weight_decay=weight_decay)
        state = algorithm.TrainState(worlds, config)
        list(algorithm.learn(worlds, config, state))
        trained = state.critics if algorithm is ddpg else state.policy
        norms.append(sum(float(one.detach().square().sum()) for one in trained.parameters()))
    assert norms[1] < 0.5 * norms[0]
