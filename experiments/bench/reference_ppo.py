"""A plain PPO loop to be measured against: Gymnasium's SyncVectorEnv, `torch.distributions`, an Adam step a minibatch.

It does what a readable single-file PPO does, with the usual hyperparameters for CartPole (8 envs x 128 steps,
4 minibatches, 4 epochs, two 64x64 tanh networks; Huang et al., "The 37 implementation details of PPO", 2022), and no
more: the yardstick of `quintet bench`.
"""

import time
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical

NUM_ENVS, NUM_STEPS, NUM_MINIBATCHES, NUM_EPOCHS = 8, 128, 4, 4
GAMMA, GAE_LAMBDA, CLIP, ENT_COEF, VF_COEF, MAX_GRAD_NORM, LEARNING_RATE = 0.99, 0.95, 0.2, 0.01, 0.5, 0.5, 2.5e-4


def network(num_outputs: int, gain: float) -> nn.Sequential:
    """Two hidden layers of 64 with tanh, orthogonal weights."""
    sizes, gains = (4, 64, 64, num_outputs), (2**0.5, 2**0.5, gain)
    layers: list[nn.Module] = []
    for fan_in, fan_out, layer_gain in zip(sizes[:-1], sizes[1:], gains, strict=True):
        linear = nn.Linear(fan_in, fan_out)
        nn.init.orthogonal_(linear.weight, layer_gain)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


class Agent(nn.Module):
    """Separate actor and critic."""

    def __init__(self) -> None:
        super().__init__()
        self.critic = network(1, 1.0)
        self.actor = network(2, 0.01)

    def forward(self, obs: Tensor, action: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Actions, their log-probabilities, the entropy and the value, `[N]` each."""
        distribution = Categorical(logits=self.actor(obs))
        action = distribution.sample() if action is None else action
        return action, distribution.log_prob(action), distribution.entropy(), self.critic(obs).flatten()


def steps_per_second(num_iterations: int = 12, warmup: int = 2) -> float:
    """Trains on CartPole-v1 and returns env-steps/s over the iterations after the warm-up."""
    torch.manual_seed(1)
    envs = gymnasium.vector.SyncVectorEnv(
        [lambda: gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make("CartPole-v1"))] * NUM_ENVS
    )
    agent = Agent()
    optimizer = torch.optim.Adam(agent.parameters(), lr=LEARNING_RATE, eps=1e-5)
    obs, _ = envs.reset(seed=1)
    state: Any = torch.as_tensor(obs), torch.zeros(NUM_ENVS)
    started = time.perf_counter()
    for iteration in range(num_iterations + warmup):
        if iteration == warmup:
            started = time.perf_counter()
        rollout, state = collect(envs, agent, *state)
        update(agent, optimizer, *rollout)
    return num_iterations * NUM_ENVS * NUM_STEPS / (time.perf_counter() - started)


def collect(envs: gymnasium.vector.VectorEnv, agent: Agent, obs: Tensor, done: Tensor) -> tuple[Any, Any]:
    """One horizon: flat (obs, actions, log_probs, advantages, returns, values), and the state to go on from."""
    shape = (NUM_STEPS, NUM_ENVS)
    all_obs = torch.zeros(*shape, 4)
    actions, log_probs, rewards, dones, values = (torch.zeros(shape) for _ in range(5))
    for t in range(NUM_STEPS):
        all_obs[t], dones[t] = obs, done
        with torch.no_grad():
            actions[t], log_probs[t], _, values[t] = agent(obs)
        next_obs, reward, terminated, truncated, _ = envs.step(actions[t].long().numpy())
        rewards[t] = torch.as_tensor(reward)
        obs, done = torch.as_tensor(next_obs), torch.as_tensor(np.logical_or(terminated, truncated)).float()
    advantages, running = torch.zeros(shape), torch.zeros(NUM_ENVS)
    with torch.no_grad():
        next_value, next_done = agent(obs)[3], done
    for t in reversed(range(NUM_STEPS)):
        delta = rewards[t] + GAMMA * next_value * (1 - next_done) - values[t]
        advantages[t] = running = delta + GAMMA * GAE_LAMBDA * (1 - next_done) * running
        next_value, next_done = values[t], dones[t]
    flat = (x.flatten() for x in (actions, log_probs, advantages, advantages + values, values))
    return (all_obs.reshape(-1, 4), *flat), (obs, done)


def update(agent: Agent, optimizer: torch.optim.Optimizer, *rollout: Tensor) -> None:
    """All epochs over one rollout."""
    size = NUM_ENVS * NUM_STEPS
    for _ in range(NUM_EPOCHS):
        for index in torch.randperm(size).split(size // NUM_MINIBATCHES):
            obs, actions, old_log_probs, advantages, returns, old_values = (x[index] for x in rollout)
            _, log_probs, entropy, values = agent(obs, actions.long())
            ratio = (log_probs - old_log_probs).exp()
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
            policy_loss = -torch.min(advantages * ratio, advantages * ratio.clamp(1 - CLIP, 1 + CLIP)).mean()
            clipped = old_values + (values - old_values).clamp(-CLIP, CLIP)
            value_loss = 0.5 * torch.max((values - returns) ** 2, (clipped - returns) ** 2).mean()
            loss = policy_loss - ENT_COEF * entropy.mean() + VF_COEF * value_loss
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), MAX_GRAD_NORM)
            optimizer.step()
