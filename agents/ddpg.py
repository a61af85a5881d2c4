"""Deep deterministic policy gradient (Lillicrap et al., arXiv 1509.02971), with the remedies of TD3 (Fujimoto et al.,
arXiv 1802.09477) as options: twin critics, a delayed actor, noise on the target's actions.

Read from top to bottom: `Config`, the `Policy`, `Critics`, `TrainState`, then `learn`: collect, sample, update.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from agents.encoding import Encoder
from agents.networks import MLP, Features
from agents.optimizer import FlatAdam, flatten_parameters
from agents.replay import Replay, Transitions
from agents.rollout import Collector


@dataclass(frozen=True)
class Config:
    """How DDPG learns."""

    total_timesteps: int = 1_000_000
    """Agent-steps to learn from."""
    seed: int = 1
    """Of the worlds, the initial weights, the noise and the samples."""
    num_envs: int = 1
    """Worlds stepped together."""
    learning_rate: float = 1e-3
    """Adam's step size, for the critics and, unless told otherwise, the actor."""
    actor_learning_rate: float = 0.0
    """Adam's step size for the actor; 0: the critics'."""
    buffer_size: int = 1_000_000
    """Transitions kept for replay."""
    learning_starts: int = 10_000
    """Agent-steps of random play before the first update."""
    batch_size: int = 256
    """Transitions an update learns from."""
    train_frequency: int = 1
    """Agent-steps an update; fewer is more learning from the same play. Updates follow each step of all worlds."""
    gamma: float = 0.99
    """Discount a step."""
    tau: float = 0.005
    """Share by which the target networks follow after every update."""
    exploration_noise: float = 0.1
    """Standard deviation of the noise on actions, as a share of half the action's range."""
    ou_theta: float = 0.0
    """Above 0 the noise is an Ornstein-Uhlenbeck process drawn to 0 by this share a step; 0 is plain Gaussian."""
    twin_critics: bool = False
    """Learn two critics and believe the lower (TD3)."""
    policy_delay: int = 1
    """Updates of the critics for one of the actor and the targets (TD3: 2)."""
    target_noise: float = 0.0
    """Standard deviation of the noise on the target's actions, as a share of half the range (TD3: 0.2)."""
    target_noise_clip: float = 0.5
    """That noise is cut at plus and minus this."""
    hidden_sizes: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers of actor and critics."""
    activation: str = "relu"
    """Between the layers: tanh, relu, silu or gelu."""
    log_every: int = 2_000
    """Agent-steps an iteration, after which training logs."""

    def __post_init__(self) -> None:
        positive = "total_timesteps num_envs buffer_size batch_size train_frequency policy_delay log_every"
        for name in positive.split():
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("gamma", "tau", "ou_theta"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in 0..1, got {getattr(self, name)}")
        for name in ("exploration_noise", "target_noise", "target_noise_clip"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        if self.batch_size > self.buffer_size:
            raise ValueError(f"batch_size {self.batch_size} is more than buffer_size {self.buffer_size}; lower it")


def check_spaces(observation_space: spaces.Space, action_space: spaces.Space) -> None:
    """DDPG takes any observation of a fixed size and bounded one-dimensional Box actions.

    Raises:
        ValueError: another space; it names the algorithms that fit.
    """
    if not isinstance(action_space, spaces.Box) or len(action_space.shape) != 1:
        others = "dqn or ppo" if isinstance(action_space, spaces.Discrete) else "ppo"
        raise ValueError(f"DDPG needs a one-dimensional Box action space, got {action_space}; use {others}")
    if not action_space.is_bounded() or not (action_space.low < action_space.high).all():
        raise ValueError(f"DDPG needs bounds that are finite and apart, got {action_space}; use ppo")
    Encoder(observation_space)


class Policy(nn.Module):
    """The actor: an action for every observation, scaled to the bounds of the Box.

    Its memory is the Ornstein-Uhlenbeck noise of each row, `[N, d]`, which begins at 0 with each episode; with Gaussian
    noise it is empty, `[N, 0]`.

    Buffers: `center` and `half_range` float32 `[d]`, the middle and half the width of the bounds.
    """

    center: Tensor
    half_range: Tensor

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space, config: Config) -> None:
        check_spaces(observation_space, action_space)
        super().__init__()
        assert isinstance(action_space, spaces.Box)
        low, high = (torch.as_tensor(np.asarray(bound, np.float32)) for bound in (action_space.low, action_space.high))
        self.register_buffer("center", (high + low) / 2)
        self.register_buffer("half_range", (high - low) / 2)
        self.noise, self.ou_theta = config.exploration_noise, config.ou_theta
        self.features = Features(Encoder(observation_space).space)
        self.actor = MLP((self.features.num_features, *config.hidden_sizes, len(low)), config.activation, gain=0.01)

    def initial_memory(self, num_envs: int) -> Tensor:
        """No noise yet: `[num_envs, d]`, or `[num_envs, 0]`."""
        return torch.zeros(num_envs, len(self.center) if self.ou_theta else 0)

    def forward(self, obs: Tensor) -> Tensor:
        """Actions in -1..1, `[N, d]`, for observations `[N, *shape]`."""
        return torch.tanh(self.actor(self.features(obs)))

    def scaled(self, actions: Tensor) -> Tensor:
        """Actions in -1..1 within the bounds of the Box."""
        return torch.addcmul(self.center, self.half_range, actions)

    def unit(self, actions: Tensor) -> Tensor:
        """Actions within the bounds as -1..1."""
        return (actions - self.center) / self.half_range

    def act(
        self,
        obs: Tensor,
        mask: Tensor | None,
        memory: Tensor,
        starts: Tensor,
        *,
        deterministic: bool = False,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Actions float32 `[N, d]`, with noise unless deterministic, and the next memory."""
        actions = self(obs)
        if deterministic:
            return self.scaled(actions), memory
        noise = self.noise * torch.randn(actions.shape, generator=generator, device=obs.device)
        if self.ou_theta:
            memory = noise = noise + (1 - self.ou_theta) * memory.masked_fill(starts.unsqueeze(-1), 0)
        return self.scaled((actions + noise).clamp_(-1, 1)), memory


class Critics(nn.Module):
    """One or two values of an observation and an action, each by a network of its own."""

    def __init__(self, observation_space: spaces.Space, num_actions: int, config: Config) -> None:
        super().__init__()
        self.features = Features(Encoder(observation_space).space)
        widths = (self.features.num_features + num_actions, *config.hidden_sizes, 1)
        count = 2 if config.twin_critics else 1
        self.critics = nn.ModuleList(MLP(widths, config.activation, gain=1.0) for _ in range(count))

    def forward(self, obs: Tensor, actions: Tensor) -> list[Tensor]:
        """Each critic's values `[N]` for observations `[N, *shape]` and actions in -1..1 `[N, d]`."""
        seen = torch.cat([self.features(obs), actions], dim=-1)
        return [critic(seen).squeeze(-1) for critic in self.critics]

    def first(self, obs: Tensor, actions: Tensor) -> Tensor:
        """The first critic's values alone, `[N]`: those that the actor climbs."""
        return self.critics[0](torch.cat([self.features(obs), actions], dim=-1)).squeeze(-1)


def make_policy(
    observation_space: spaces.Space, action_space: spaces.Space, config: Config, action_layout: Any = None
) -> Policy:
    """An untrained policy. `action_layout` is not needed: a Box has no masks."""
    return Policy(observation_space, action_space, config)


class TrainState:
    """Everything that training changes."""

    def __init__(self, envs: Any, config: Config, device: str = "cpu") -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.policy = make_policy(envs.single_observation_space, envs.single_action_space, config)
            self.critics = Critics(envs.single_observation_space, len(self.policy.half_range), config)
        self.policy.to(device)
        self.critics.to(device)
        self.target_policy, self.target_critics = copy.deepcopy(self.policy), copy.deepcopy(self.critics)
        self.targets = [flatten_parameters([self.target_policy]), flatten_parameters([self.target_critics])]
        self.actor_optimizer = FlatAdam([self.policy], config.actor_learning_rate or config.learning_rate)
        self.critic_optimizer = FlatAdam([self.critics], config.learning_rate)
        self.generator = torch.Generator(device).manual_seed(config.seed)
        self.collector = Collector(envs, device=device, seed=config.seed)
        self.collector.memory = self.policy.initial_memory(envs.num_envs).to(device)
        self.rollout = self.collector.new_rollout(max(1, config.train_frequency // envs.num_envs))
        self.replay = Replay(config.buffer_size, self.rollout, config.gamma)
        self.global_step = 0
        self.num_updates = 0

    def state_dict(self) -> dict[str, Any]:
        """Tensors and JSON scalars, nested."""
        modules = ("policy", "critics", "target_policy", "target_critics")
        return {
            **{name: {k: v.clone() for k, v in getattr(self, name).state_dict().items()} for name in modules},
            "actor_optimizer": self.actor_optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
            "replay": self.replay.state_dict(),
            "generator": self.generator.get_state(),
            "collector": self.collector.state_dict(),
            "global_step": self.global_step,
            "num_updates": self.num_updates,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave; learning then goes on as if it had not stopped."""
        parts = "policy critics target_policy target_critics actor_optimizer critic_optimizer replay collector"
        for name in parts.split():
            getattr(self, name).load_state_dict(saved[name])
        self.generator.set_state(saved["generator"])
        self.global_step, self.num_updates = int(saved["global_step"]), int(saved["num_updates"])


def learn(envs: Any, config: Config, state: TrainState | None = None) -> Iterator[dict[str, float]]:
    """Learns until `config.total_timesteps`; one yield an iteration of about `log_every` agent-steps.

    Args:
        envs: what `envs.make_vec` gives, or any Gymnasium vector env whose spaces pass `check_spaces`.
        config: how; `num_envs` is the caller's to keep when making `envs`.
        state: where to go on from; None begins anew.

    Yields:
        "charts/episodic_return" and "charts/episodic_length" (raw means over episodes that ended, absent if none did),
        and from `learning_starts` on "losses/critic_loss", "losses/actor_loss" and "losses/q_value" (means).
    """
    state = state or TrainState(envs, config)
    while state.global_step < config.total_timesteps:
        end = min(config.total_timesteps, (state.global_step // config.log_every + 1) * config.log_every)
        records: list[Record] = []
        while state.global_step < end:
            before = max(state.global_step, config.learning_starts)
            collect(state, config)
            due = state.global_step // config.train_frequency - before // config.train_frequency
            records += [update(state, config) for _ in range(due)]
        yield metrics(state, records)


def collect(state: TrainState, config: Config) -> None:
    """Plays the next steps of every row into the replay: at random first, then by the actor with noise."""
    policy, generator = state.policy, state.generator

    def explore(obs: Tensor, mask: Tensor | None, memory: Tensor, starts: Tensor) -> tuple[Tensor, Tensor, dict]:
        drawn = torch.rand(len(obs), len(policy.center), generator=generator, device=obs.device)
        return policy.scaled(drawn * 2 - 1), memory, {}

    def act(obs: Tensor, mask: Tensor | None, memory: Tensor, starts: Tensor) -> tuple[Tensor, Tensor, dict]:
        return *policy.act(obs, mask, memory, starts, generator=generator), {}

    state.collector.collect(explore if state.global_step < config.learning_starts else act, state.rollout)
    state.global_step += state.replay.add(state.rollout)


Record = tuple[Tensor, Tensor, Tensor | None]
"""Critics' loss `[]`, values `[critics, batch_size]`, and the actor's loss `[]` or None where it waited."""


def update(state: TrainState, config: Config) -> Record:
    """A step of Adam for the critics, and one for the actor where it is its turn; then the targets follow."""
    batch = state.replay.take(state.replay.draw(config.batch_size, state.generator))
    values, critic_loss = update_critics(state, batch, config)
    state.num_updates += 1
    if state.num_updates % config.policy_delay:
        return critic_loss, values, None
    actor_loss = update_actor(state, batch.obs)
    for target, optimizer in zip(state.targets, (state.actor_optimizer, state.critic_optimizer), strict=True):
        target.data.lerp_(optimizer.flat.data, config.tau)
    return critic_loss, values, actor_loss


def update_critics(state: TrainState, batch: Transitions, config: Config) -> tuple[Tensor, Tensor]:
    """One step towards r + gamma * Q_target(s', actor_target(s')); returns values `[critics, B]` and the loss `[]`."""
    with torch.no_grad():
        next_actions = state.target_policy(batch.next_obs)
        if config.target_noise:
            noise = torch.randn(next_actions.shape, generator=state.generator, device=next_actions.device)
            cut = noise.mul_(config.target_noise).clamp_(-config.target_noise_clip, config.target_noise_clip)
            next_actions = next_actions.add_(cut).clamp_(-1, 1)
        future = torch.stack(state.target_critics(batch.next_obs, next_actions)).amin(0)
        targets = torch.addcmul(batch.rewards, batch.discounts, future)
    values = torch.stack(state.critics(batch.obs, state.policy.unit(batch.actions)))
    loss = (values - targets).square().mean(1).sum()
    state.critic_optimizer.zero_grad()
    loss.backward()
    state.critic_optimizer.step()
    return values.detach(), loss.detach()


def update_actor(state: TrainState, obs: Tensor) -> Tensor:
    """One step of the actor up the first critic, whose own weights get no gradient; returns the loss `[]`."""
    actions = state.policy(obs)
    tried = actions.detach().requires_grad_()
    loss = -state.critics.first(obs, tried).mean()
    (slope,) = torch.autograd.grad(loss, tried)
    state.actor_optimizer.zero_grad()
    actions.backward(slope)
    state.actor_optimizer.step()
    return loss.detach()


def metrics(state: TrainState, records: list[Record]) -> dict[str, float]:
    """What an iteration came to."""
    found: dict[str, float] = {}
    if records:
        critic_losses, values, actor_losses = zip(*records, strict=True)
        found["losses/critic_loss"] = float(torch.stack(critic_losses).mean())
        found["losses/q_value"] = float(torch.stack(values).mean())
        if known := [loss for loss in actor_losses if loss is not None]:
            found["losses/actor_loss"] = float(torch.stack(known).mean())
    return found | state.collector.episode_metrics()
