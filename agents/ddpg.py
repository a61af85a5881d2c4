"""Deep deterministic policy gradient (Lillicrap et al., arXiv 1509.02971), with the remedies of TD3 (Fujimoto et al.,
arXiv 1802.09477) as options: twin critics, a delayed actor, noise on the target's actions.

Read from top to bottom: `Config`, the `Policy`, `Critics`, `TrainState`, then `learn`: collect, sample, update.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from agents import checks, horizon, schedules
from agents.encoding import Encoder
from agents.graphs import Graphs
from agents.halves import make_collector
from agents.networks import MLP, Features, Trace, copied
from agents.optimizer import FlatAdam, flatten_parameters
from agents.replay import Replay, Transitions
from agents.schedules import Schedule


@dataclass(frozen=True)
class Config:
    """How DDPG learns. Fields that say "schedule" also take one, such as linear:0.3:0.05 (agents/schedules.py)."""

    total_timesteps: int = 1_000_000
    """Agent-steps to learn from, over all worlds."""
    seed: int = 1
    """Seed of the worlds, the initial weights, the noise and the samples."""
    num_envs: int = 1
    """Worlds stepped in parallel."""
    learning_rate: Schedule = 1e-3
    """Adam's learning rate for the critics and, unless `actor_learning_rate` is set, the actor (schedule)."""
    actor_learning_rate: Schedule = 0.0
    """Adam's learning rate for the actor (schedule); 0: the critics'."""
    weight_decay: float = 0.0
    """AdamW's weight decay of the critics: the share of their weights, times the learning rate, lost per update."""
    buffer_size: int = 1_000_000
    """Transitions kept for replay."""
    learning_starts: int = 10_000
    """Agent-steps of random play before the first update."""
    batch_size: int = 256
    """Transitions per update."""
    train_frequency: int = 1
    """Agent-steps per update; fewer means more learning from the same play.
    Updates follow each step of all worlds, or several steps where this is a multiple of `num_envs`."""
    gamma: float = 0.99
    """Discount factor per step."""
    n_steps: int = 1
    """Length of the n-step return: rewards summed before the value of what follows is added."""
    tau: Schedule = 0.005
    """Polyak averaging: share by which the target networks follow after every update (schedule)."""
    exploration_noise: Schedule = 0.1
    """Standard deviation of the noise on actions, as a share of half the action's range (schedule)."""
    ou_theta: float = 0.0
    """0: Gaussian noise; above: an Ornstein-Uhlenbeck process that is drawn back to 0 by this share per step."""
    twin_critics: bool = False
    """Learn two critics and take the lower estimate (TD3)."""
    policy_delay: int = 1
    """Updates of the critics per update of the actor and the targets (TD3: 2)."""
    target_noise: Schedule = 0.0
    """Standard deviation of the noise on the target's actions, as a share of half the range (schedule; TD3: 0.2)."""
    target_noise_clip: float = 0.5
    """The target's noise is clipped to plus and minus this."""
    hidden_sizes: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers of actor and critics."""
    activation: str = "relu"
    """Activation between the layers: tanh, relu, silu or gelu."""
    log_every: int = 2_000
    """Agent-steps per iteration; metrics are logged after each."""
    cuda_graphs: bool = True
    """On a GPU: record the updates as a CUDA graph and replay it, and acting too where the worlds are on the GPU."""

    def __post_init__(self) -> None:
        checks.numbers(self, "total_timesteps num_envs buffer_size batch_size train_frequency n_steps", low=1)
        checks.numbers(self, "policy_delay log_every", low=1)
        checks.numbers(self, "gamma tau ou_theta", 0, 1)
        checks.numbers(self, "learning_rate actor_learning_rate weight_decay learning_starts", low=0)
        checks.numbers(self, "exploration_noise target_noise target_noise_clip", low=0)
        if self.batch_size > self.buffer_size:
            raise ValueError(f"batch_size {self.batch_size} is more than buffer_size {self.buffer_size}; lower it")


def check_spaces(observation_space: spaces.Space, action_space: spaces.Space) -> None:
    """DDPG takes any observation of a fixed size and bounded one-dimensional Box actions.

    Raises:
        ValueError: another space; it names the algorithms that fit.
    """
    if not isinstance(action_space, spaces.Box) or len(action_space.shape) != 1:
        several = isinstance(action_space, spaces.MultiDiscrete) and len(action_space.shape) == 1
        others = "use ppo" if several else "wrap the env so that its actions are a vector"
        others = "use dqn or ppo" if isinstance(action_space, spaces.Discrete) else others
        raise ValueError(f"DDPG needs a one-dimensional Box action space, got {action_space}; {others}")
    if not action_space.is_bounded() or not (action_space.low < action_space.high).all():
        raise ValueError(f"DDPG needs bounds that are finite and apart, got {action_space}; use ppo")
    Encoder(observation_space)


class Traces(NamedTuple):
    """What `backward` needs of a forward pass."""

    seen: Tensor
    """Features `[N, num_features]`."""
    through: list[Trace]
    """Of each network."""
    output: Tensor


class Policy(nn.Module):
    """The actor: an action for every observation, scaled to the bounds of the Box.

    Its memory is the Ornstein-Uhlenbeck noise of each row, `[N, d]`, which begins at 0 with each episode; with Gaussian
    noise it is empty, `[N, 0]`.

    Buffers: `center` and `half_range` float32 `[d]`, the middle and half the width of the bounds; `noise` float32 `[]`,
    the present standard deviation.
    """

    noise: Tensor
    center: Tensor
    half_range: Tensor

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space, config: Config) -> None:
        check_spaces(observation_space, action_space)
        super().__init__()
        assert isinstance(action_space, spaces.Box)
        low, high = (torch.as_tensor(np.asarray(bound, np.float32)) for bound in (action_space.low, action_space.high))
        self.register_buffer("center", (high + low) / 2)
        self.register_buffer("half_range", (high - low) / 2)
        self.register_buffer("noise", torch.tensor(float(schedules.value(config.exploration_noise, 0))))
        self.ou_theta = config.ou_theta
        self.features = Features(Encoder(observation_space).space)
        self.actor = MLP((self.features.num_features, *config.hidden_sizes, len(low)), config.activation, gain=0.01)

    def initial_memory(self, num_envs: int) -> Tensor:
        """No noise yet: `[num_envs, d]`, or `[num_envs, 0]`."""
        return torch.zeros(num_envs, len(self.center) if self.ou_theta else 0)

    def forward(self, obs: Tensor) -> Tensor:
        """Actions in -1..1, `[N, d]`, for observations `[N, *shape]`."""
        return torch.tanh(self.actor(self.features(obs)))

    def trace(self, obs: Tensor) -> "Traces":
        """What `forward` gives, as `output`, and what `backward` needs; both within `features.no_autograd()`."""
        seen = self.features.trace(obs)
        through = self.actor.trace(seen)
        return Traces(seen, [through], through.output.tanh())

    def backward(self, traces: "Traces", grads: Tensor) -> None:
        """Sets the gradients of a loss, given those w.r.t. the actions `[N, d]`; convolutions add to what is there."""
        grads = grads * (1 - traces.output.square())
        deeper = slice(None) if traces.seen.requires_grad else None
        by_features = self.actor.backward(traces.through[0], grads, inputs=deeper)
        if deeper is not None:
            traces.seen.backward(by_features)

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

    def trace(self, obs: Tensor, actions: Tensor) -> Traces:
        """Values `[critics, N]` as `output`, and what `backward` needs; both within `features.no_autograd()`."""
        seen = self.features.trace(obs)
        inputs = torch.cat([seen, actions], dim=-1)
        through = [critic.trace(inputs) for critic in self.critics]  # pyright: ignore
        return Traces(seen, through, torch.stack([one.output.squeeze(-1) for one in through]))

    def backward(self, traces: Traces, grads: Tensor) -> None:
        """Sets the gradients of a loss, given those w.r.t. the values `[critics, N]`; convolutions add to theirs."""
        deeper = slice(traces.seen.shape[1]) if traces.seen.requires_grad else None
        by_inputs = [
            critic.backward(one, row.unsqueeze(1), inputs=deeper)  # pyright: ignore
            for critic, one, row in zip(self.critics, traces.through, grads, strict=True)
        ]
        if deeper is not None:
            traces.seen.backward(sum(by_inputs))  # pyright: ignore

    def uphill(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """The first critic's values `[N]` and their gradients w.r.t. actions `[N, d]`: where the actor should go."""
        seen, critic = self.features(obs), self.critics[0]
        trace = critic.trace(torch.cat([seen, actions], dim=-1))  # pyright: ignore
        columns = slice(seen.shape[1], None)
        grads = critic.backward(trace, torch.ones_like(trace.output), weights=False, inputs=columns)  # pyright: ignore
        return trace.output.squeeze(-1), grads


def make_policy(envs: Any, config: Config) -> Policy:
    """An untrained policy for the spaces of envs."""
    return Policy(envs.single_observation_space, envs.single_action_space, config)


class TrainState:
    """Everything that training changes."""

    def __init__(self, envs: Any, config: Config, device: str = "cpu") -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.policy = make_policy(envs, config)
            self.critics = Critics(envs.single_observation_space, len(self.policy.half_range), config)
        self.policy.to(device)
        self.critics.to(device)
        self.target_policy, self.target_critics = copy.deepcopy(self.policy), copy.deepcopy(self.critics)
        self.targets = [flatten_parameters([self.target_policy]), flatten_parameters([self.target_critics])]
        self.actor_optimizer = FlatAdam([self.policy], 0.0)
        self.critic_optimizer = FlatAdam([self.critics], 0.0, weight_decay=config.weight_decay)
        self.actor_has_own_rate = config.actor_learning_rate != 0  # a schedule may come to 0
        set_learning_rates(self, schedules.at(config, 0))
        self.generator = torch.Generator(device).manual_seed(config.seed)
        self.collector: Any = make_collector(envs, device, config.seed)
        self.collector.memory = self.policy.initial_memory(envs.num_envs).to(device)
        self.rollout = self.collector.new_rollout(max(1, config.train_frequency // envs.num_envs))
        self.replay = Replay(config.buffer_size, self.rollout, config.gamma, config.n_steps)
        self.graphs = Graphs(self.collector.device, [self.generator], config.cuda_graphs)
        self.smooths_targets = config.target_noise != 0
        self.global_step = 0
        self.num_updates = 0

    def state_dict(self) -> dict[str, Any]:
        """Tensors and JSON scalars, nested."""
        modules = ("policy", "critics", "target_policy", "target_critics")
        return {
            **{name: copied(getattr(self, name)) for name in modules},
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
        parts = "policy critics target_policy target_critics actor_optimizer critic_optimizer collector"
        for name in parts.split():
            getattr(self, name).load_state_dict(saved[name])
        self.replay.load_state_dict(saved["replay"], continues="envs" in saved["collector"])
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
            now = schedules.at(config, state.global_step / config.total_timesteps)
            before = max(state.global_step, config.learning_starts)
            collect(state, now)
            due = state.global_step // config.train_frequency - before // config.train_frequency
            set_learning_rates(state, now)
            records += [update(state, now) for _ in range(due if state.replay.size else 0)]
        yield metrics(state, records)


def set_learning_rates(state: TrainState, config: Config) -> None:
    """Of both optimisers."""
    state.critic_optimizer.learning_rate = config.learning_rate
    own = config.actor_learning_rate if state.actor_has_own_rate else config.learning_rate
    state.actor_optimizer.learning_rate = own


def collect(state: TrainState, config: Config) -> None:
    """Plays the next steps of every row into the replay: at random first, then by the actor with noise."""
    policy, generator = state.policy, state.generator
    policy.noise.fill_(config.exploration_noise)

    def explore(obs: Tensor, mask: Tensor | None, memory: Tensor, starts: Tensor) -> tuple[Tensor, Tensor, dict]:
        drawn = torch.rand(len(obs), len(policy.center), generator=generator, device=obs.device)
        return policy.scaled(drawn * 2 - 1), memory, {}

    def act(obs: Tensor, mask: Tensor | None, memory: Tensor, starts: Tensor) -> tuple[Tensor, Tensor, dict]:
        return *policy.act(obs, mask, memory, starts, generator=generator), {}

    choose = explore if state.global_step < config.learning_starts else act
    horizon.check(state.collector, state.rollout)
    fixed = state.collector.fixed
    state.graphs.run(choose.__name__, lambda: state.collector.collect(choose, state.rollout), fixed=fixed)
    state.global_step += state.replay.add(state.rollout)


Record = tuple[Tensor, Tensor, Tensor | None]
"""Critics' loss `[]`, values `[critics, batch_size]`, and the actor's loss `[]` or None where it waited."""


def update(state: TrainState, config: Config) -> Record:
    """A step of Adam for the critics, and one for the actor where it is its turn; then the targets follow."""
    state.num_updates += 1
    now, all_move = state.graphs.numbers(config), state.num_updates % config.policy_delay == 0
    step = step_all if all_move else step_critics
    with state.policy.features.no_autograd():
        return state.graphs.kept(state.graphs.run(step.__name__, lambda: step(state, now)))


def step_critics(state: TrainState, config: Config) -> Record:
    """A step of the critics alone."""
    batch = state.replay.take(state.replay.draw(config.batch_size, state.generator))
    values, critic_loss = update_critics(state, batch, config)
    return critic_loss, values, None


def step_all(state: TrainState, config: Config) -> Record:
    """A step of the critics, then of the actor; the targets follow."""
    batch = state.replay.take(state.replay.draw(config.batch_size, state.generator))
    values, critic_loss = update_critics(state, batch, config)
    actor_loss = update_actor(state, batch.obs)
    for target, optimizer in zip(state.targets, (state.actor_optimizer, state.critic_optimizer), strict=True):
        target.lerp_(optimizer.flat, config.tau)
    return critic_loss, values, actor_loss


def update_critics(state: TrainState, batch: Transitions, config: Config) -> tuple[Tensor, Tensor]:
    """One step towards r + gamma * Q_target(s', actor_target(s')); returns values `[critics, B]` and the loss `[]`."""
    next_actions = state.target_policy(batch.next_obs)
    if state.smooths_targets:
        noise = torch.randn(next_actions.shape, generator=state.generator, device=next_actions.device)
        cut = noise.mul_(config.target_noise).clamp_(-config.target_noise_clip, config.target_noise_clip)
        next_actions = next_actions.add_(cut).clamp_(-1, 1)
    future = torch.stack(state.target_critics(batch.next_obs, next_actions)).amin(0)
    targets = torch.addcmul(batch.rewards, batch.discounts, future)
    traces = state.critics.trace(batch.obs, state.policy.unit(batch.actions))
    errors = traces.output - targets
    state.critic_optimizer.zero_grad()
    state.critics.backward(traces, errors * (2 / len(targets)))
    state.critic_optimizer.step()
    return traces.output, errors.square().mean(1).sum()


def update_actor(state: TrainState, obs: Tensor) -> Tensor:
    """One step of the actor up the first critic, whose own weights get no gradient; returns the loss `[]`."""
    traces = state.policy.trace(obs)
    values, grads = state.critics.uphill(obs, traces.output)
    state.actor_optimizer.zero_grad()
    state.policy.backward(traces, grads / -len(obs))
    state.actor_optimizer.step()
    return -values.mean()


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
