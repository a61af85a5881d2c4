"""Proximal policy optimisation (Schulman et al., arXiv 1707.06347), with the details that matter (Huang et al., "The 37
implementation details of PPO", 2022).

Read from top to bottom: `Config`, the `Policy`, `TrainState`, then `learn`: collect, estimate, update.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agents.distributions import Heads
from agents.encoding import Encoder
from agents.networks import MLP, Features
from agents.normalize import RewardScale, RunningNorm
from agents.optimizer import FlatAdam
from agents.returns import gae, next_values
from agents.rollout import Collector, Rollout


@dataclass(frozen=True)
class Config:
    """How PPO learns. The defaults are CleanRL's for classic control."""

    total_timesteps: int = 500_000
    """Agent-steps to learn from."""
    seed: int = 1
    """Of the worlds, the initial weights, the actions and the minibatches."""
    num_envs: int = 8
    """Worlds stepped together."""
    num_steps: int = 128
    """Steps of each world an iteration."""
    learning_rate: float = 2.5e-4
    """Adam's step size."""
    anneal_lr: bool = True
    """Bring the learning rate down to 0 over the run, in a straight line."""
    gamma: float = 0.99
    """Discount a step."""
    gae_lambda: float = 0.95
    """Weight of longer returns in the advantage estimates."""
    num_minibatches: int = 4
    """Parts that an iteration's steps are cut into for the updates."""
    update_epochs: int = 4
    """Passes over an iteration's steps."""
    norm_adv: bool = True
    """Standardise the advantages of each minibatch."""
    clip_coef: float = 0.2
    """How far the probability ratio may move before its gradient is cut."""
    clip_vloss: bool = True
    """Clip the change of the values by `clip_coef` too."""
    ent_coef: float = 0.01
    """Weight of the entropy bonus."""
    vf_coef: float = 0.5
    """Weight of the value loss."""
    max_grad_norm: float = 0.5
    """Largest norm of the gradient; longer ones are shortened to it."""
    target_kl: float = 0.0
    """End an iteration's epochs once the policy has moved further than this KL divergence; 0 never does."""
    normalize_obs: bool = False
    """Standardise observations by running statistics, clipped to +-10."""
    normalize_reward: bool = False
    """Divide rewards by the running standard deviation of the discounted return."""
    hidden_sizes: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of policy and value network."""
    activation: str = "tanh"
    """Between the layers: tanh, relu, silu or gelu."""
    log_std_init: float = 0.0
    """Initial log standard deviation of Box actions."""

    def __post_init__(self) -> None:
        for name in ("total_timesteps", "num_envs", "num_steps", "num_minibatches", "update_epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("gamma", "gae_lambda"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in 0..1, got {getattr(self, name)}")
        if self.num_envs * self.num_steps < self.num_minibatches:
            raise ValueError(
                f"num_envs * num_steps = {self.num_envs * self.num_steps} steps can't be cut into "
                f"{self.num_minibatches} minibatches; lower num_minibatches"
            )


def check_spaces(observation_space: spaces.Space, action_space: spaces.Space) -> None:
    """PPO takes any observation of a fixed size and Discrete, MultiDiscrete or one-dimensional Box actions.

    Raises:
        ValueError: another space.
    """
    Encoder(observation_space)
    flat_box = isinstance(action_space, spaces.Box) and len(action_space.shape) == 1
    if not (flat_box or isinstance(action_space, spaces.Discrete | spaces.MultiDiscrete)):
        raise ValueError(f"PPO needs a Discrete, MultiDiscrete or one-dimensional Box action space, got {action_space}")


class Policy(nn.Module):
    """An actor and a critic with trunks of their own; memory is empty, `[N, 0]`."""

    def __init__(
        self, observation_space: spaces.Space, action_space: spaces.Space, config: Config, layout: Any = None
    ) -> None:
        check_spaces(observation_space, action_space)
        super().__init__()
        space = Encoder(observation_space).space
        self.norm = RunningNorm(tuple(space.shape or ())) if config.normalize_obs else None
        self.features = Features(space)
        self.heads = Heads(action_space, layout, config.log_std_init)
        widths = (self.features.num_features, *config.hidden_sizes)
        self.actor = MLP((*widths, self.heads.num_outputs), config.activation, gain=0.01)
        self.critic = MLP((*widths, 1), config.activation, gain=1.0)

    def initial_memory(self, num_envs: int) -> Tensor:
        """Nothing to remember: `[num_envs, 0]`."""
        return torch.zeros(num_envs, 0)

    def _see(self, obs: Tensor) -> Tensor:
        return self.features(obs if self.norm is None else self.norm(obs))

    def forward(self, obs: Tensor, mask: Tensor | None, memory: Tensor, starts: Tensor) -> tuple[Any, Tensor, Tensor]:
        """The distribution of actions, the value `[...]` and the next memory for observations `[..., *shape]`."""
        seen = self._see(obs)
        return self.heads(self.actor(seen), mask), self.critic(seen).squeeze(-1), memory

    def value(self, obs: Tensor, memory: Tensor) -> Tensor:
        """`[...]` of observations `[..., *shape]`."""
        return self.critic(self._see(obs)).squeeze(-1)

    def act(
        self,
        obs: Tensor,
        mask: Tensor | None,
        memory: Tensor,
        starts: Tensor,
        *,
        deterministic: bool = False,
        generator: torch.Generator | None = None,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Actions `[N, ...]` and the next memory; the noise to choose by is drawn from `generator` where not given."""
        dist = self.heads(self.actor(self._see(obs)), mask)
        if deterministic:
            return dist.mode(), memory
        if noise is None:
            noise = self.heads.noise((len(obs),), generator, obs.device)
        return dist.sample(noise), memory


def make_policy(
    observation_space: spaces.Space, action_space: spaces.Space, config: Config, action_layout: Any = None
) -> Policy:
    """An untrained policy for the spaces of one env; `action_layout` is the envs' where they have masks."""
    return Policy(observation_space, action_space, config, action_layout)


class TrainState:
    """Everything that training changes."""

    def __init__(self, envs: Any, config: Config, device: str = "cpu") -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            layout = getattr(envs, "action_layout", None)
            self.policy = make_policy(envs.single_observation_space, envs.single_action_space, config, layout)
        self.policy.to(device)
        self.reward_scale = RewardScale(envs.num_envs, config.gamma).to(device)
        self.optimizer = FlatAdam([self.policy], config.learning_rate, eps=1e-5)
        self.generator = torch.Generator(device).manual_seed(config.seed)
        self.collector = Collector(envs, device=device, seed=config.seed)
        self.collector.memory = self.policy.initial_memory(envs.num_envs).to(device)
        _check_mask(self.policy.heads, self.collector.masks.num_columns)
        self.global_step = 0

    def state_dict(self) -> dict[str, Any]:
        """Tensors and JSON scalars, nested."""
        return {
            "policy": {name: value.clone() for name, value in self.policy.state_dict().items()},
            "reward_scale": {name: value.clone() for name, value in self.reward_scale.state_dict().items()},
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "collector": self.collector.state_dict(),
            "global_step": self.global_step,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave; learning then goes on as if it had not stopped."""
        self.policy.load_state_dict(saved["policy"])
        self.reward_scale.load_state_dict(saved["reward_scale"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.generator.set_state(saved["generator"])
        self.collector.load_state_dict(saved["collector"])
        self.global_step = int(saved["global_step"])


def _check_mask(heads: Heads, num_columns: int | None) -> None:
    if num_columns is not None and not heads.is_box and num_columns != heads.num_columns:
        raise ValueError(
            f"the env's action masks have {num_columns} columns, its actions need {heads.num_columns}; "
            "give a mask that space.sample takes, or an action_layout"
        )


def learn(envs: Any, config: Config, state: TrainState | None = None) -> Iterator[dict[str, float]]:
    """Learns until `config.total_timesteps`; one yield an iteration of `num_steps` steps of every row.

    Args:
        envs: what `envs.make_vec` gives, or any Gymnasium vector env whose spaces pass `check_spaces`.
        config: how; `num_envs` is the caller's to keep when making `envs`.
        state: where to go on from; None begins anew.

    Yields:
        "charts/episodic_return" and "charts/episodic_length" (raw means over episodes that ended, absent if none did),
        "charts/learning_rate", "losses/policy_loss", "losses/value_loss", "losses/entropy", "losses/approx_kl",
        "losses/clip_fraction", "losses/explained_variance".
    """
    state = state or TrainState(envs, config)
    rollout = state.collector.new_rollout(config.num_steps)
    while state.global_step < config.total_timesteps:
        if config.anneal_lr:
            left = 1 - state.global_step / config.total_timesteps
            state.optimizer.learning_rate = config.learning_rate * left
        collect(state, rollout)
        first = state.global_step == 0
        if state.policy.norm is not None and first:
            state.policy.norm.update(rollout.obs[:-1].flatten(0, 1), rollout.valid.flatten())
        batch = estimate(state, rollout, config)
        metrics = update(state, batch, config)
        if state.policy.norm is not None and not first:
            state.policy.norm.update(rollout.obs[:-1].flatten(0, 1), rollout.valid.flatten())
        state.global_step += int(rollout.valid.sum())
        metrics["charts/learning_rate"] = state.optimizer.learning_rate
        yield metrics | state.collector.episode_metrics()


def collect(state: TrainState, rollout: Rollout) -> None:
    """Plays one horizon; its noise is drawn in one call."""
    policy = state.policy
    shape = (rollout.num_steps, rollout.num_envs)
    noises = iter(policy.heads.noise(shape, state.generator, rollout.rewards.device).unbind())

    def act(obs: Tensor, mask: Tensor | None, memory: Tensor, starts: Tensor) -> tuple[Tensor, Tensor, dict]:
        return *policy.act(obs, mask, memory, starts, noise=next(noises)), {}

    state.collector.collect(act, rollout)


@dataclass
class Batch:
    """Steps side by side, `[B, ...]`."""

    obs: Tensor
    action_mask: Tensor | None
    actions: Tensor
    log_probs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor

    def select(self, rows: Tensor) -> "Batch":
        """The steps of the given rows, int64 `[b]`."""
        return Batch(*(None if x is None else x[rows] for x in vars(self).values()))  # pyright: ignore

    def split(self, size: int) -> "Iterator[Batch]":
        """Pieces of `size` steps."""
        pieces = [None if x is None else x.split(size) for x in vars(self).values()]
        for k in range(-(-len(self.obs) // size)):
            yield Batch(*(None if piece is None else piece[k] for piece in pieces))  # pyright: ignore


@torch.no_grad()
def estimate(state: TrainState, rollout: Rollout, config: Config) -> Batch:
    """Values, log-probabilities, advantages and returns of a rollout's valid steps, in one forward pass."""
    policy, acted = state.policy, rollout.obs[:-1]
    mask = None if rollout.action_mask is None else rollout.action_mask[:-1]
    dist, values, memory = policy(acted, mask, rollout.memory, rollout.starts[:-1])
    log_probs = dist.log_prob(rollout.actions)
    last_values = policy.value(rollout.obs[-1:], memory)
    final_values = policy.value(rollout.final_obs, rollout.final_memory)
    following = next_values(torch.cat([values, last_values]), rollout.final_index, final_values)
    terminated, truncated, rewards = rollout.terminated, rollout.truncated, rollout.rewards
    if config.normalize_reward:
        rewards = state.reward_scale(rewards, terminated | truncated, rollout.valid)
    advantages = gae(rewards, values, following, terminated, truncated, config.gamma, config.gae_lambda)
    steps = (acted, mask, rollout.actions, log_probs, values, advantages, advantages + values)
    batch = Batch(*(None if x is None else x.flatten(0, 1) for x in steps))  # pyright: ignore
    return batch if rollout.valid.all() else batch.select(rollout.valid.flatten().nonzero().flatten())


def update(state: TrainState, batch: Batch, config: Config) -> dict[str, float]:
    """All epochs over a batch; the metrics are means over the last epoch."""
    size = len(batch.obs)
    records: list[Tensor] = []
    for _ in range(config.update_epochs):
        shuffled = batch.select(torch.randperm(size, generator=state.generator, device=batch.obs.device))
        minibatches = shuffled.split(-(-size // config.num_minibatches))
        records = [minibatch_step(state, minibatch, config) for minibatch in minibatches]
        if config.target_kl and float(torch.cat(records, dim=1)[3].mean()) > config.target_kl:
            break
    means = torch.cat(records, dim=1).mean(1).tolist()
    names = ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction")
    metrics = {f"losses/{name}": value for name, value in zip(names, means, strict=True)}
    spread, unexplained = batch.returns.var(), (batch.returns - batch.values).var()
    metrics["losses/explained_variance"] = float(1 - unexplained / spread) if spread > 0 else 0.0
    return metrics


def minibatch_step(state: TrainState, batch: Batch, config: Config) -> Tensor:
    """One step of Adam; returns policy loss, value loss, entropy, KL and whether clipped of each step, `[5, b]`."""
    dist, values, _ = state.policy(batch.obs, batch.action_mask, batch.obs, batch.obs)
    log_ratio = dist.log_prob(batch.actions) - batch.log_probs
    ratio = log_ratio.exp()
    advantages = batch.advantages
    if config.norm_adv and len(advantages) > 1:
        std, mean = torch.std_mean(advantages)
        advantages = (advantages - mean) / (std + 1e-8)

    clipped_ratio = ratio.clamp(1 - config.clip_coef, 1 + config.clip_coef)
    gains = torch.min(advantages * ratio, advantages * clipped_ratio)
    value_errors = (values - batch.returns).square()
    if config.clip_vloss:
        clipped = batch.values + (values - batch.values).clamp(-config.clip_coef, config.clip_coef)
        value_errors = torch.max(value_errors, (clipped - batch.returns).square())
    entropy = dist.entropy()
    bonus = torch.add(gains, entropy, alpha=config.ent_coef)
    loss = torch.sub(bonus, value_errors, alpha=0.5 * config.vf_coef).mean().neg()

    state.optimizer.zero_grad()
    loss.backward()
    state.optimizer.step(config.max_grad_norm)
    with torch.no_grad():
        moved = (clipped_ratio != ratio).float()
        return torch.stack([-gains, 0.5 * value_errors, entropy, ratio - 1 - log_ratio, moved])
