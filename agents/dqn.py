"""Deep Q-network (Mnih et al., "Human-level control through deep reinforcement learning", Nature 2015), with what
Rainbow (Hessel et al., arXiv 1710.02298) put together as options: double (van Hasselt et al., arXiv 1509.06461),
dueling (Wang et al., arXiv 1511.06581), several steps, prioritised replay (prioritized.py), distributions of returns
(value_heads.py); and with a bonus for what was seldom seen (rnd.py).

    Q(s, a) -> r + gamma * max_b Q_target(s', b)

where the term with s' falls away if the episode terminated there, but stays if it was only truncated.

Read from top to bottom: `Config`, the `Policy`, `TrainState`, then `learn`: collect, sample, update.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agents import checks, horizon, schedules
from agents.encoding import Encoder
from agents.graphs import Graphs
from agents.halves import make_collector
from agents.networks import MLP, Features, Trace, copied
from agents.optimizer import FlatAdam, flatten_parameters
from agents.prioritized import Priorities
from agents.replay import Replay, Transitions
from agents.rnd import Novelty
from agents.schedules import Schedule
from agents.value_heads import make_head


@dataclass(frozen=True)
class Config:
    """How DQN learns. Fields that say "schedule" also take one, such as linear:1:0.05:0.5 (agents/schedules.py)."""

    total_timesteps: int = 500_000
    """Agent-steps to learn from, over all worlds."""
    seed: int = 1
    """Seed of the worlds, the initial weights, the actions and the samples."""
    num_envs: int = 8
    """Worlds stepped in parallel."""
    learning_rate: Schedule = 2.5e-4
    """Adam's learning rate (schedule)."""
    weight_decay: float = 0.0
    """AdamW's weight decay: each update takes away this share of the weights, times the learning rate."""
    buffer_size: int = 100_000
    """Transitions kept for replay."""
    learning_starts: int = 10_000
    """Agent-steps of play before the first update."""
    batch_size: int = 128
    """Transitions per update."""
    train_frequency: int = 8
    """Agent-steps per update; fewer means more learning from the same play.
    Updates follow each step of all worlds, or several steps where this is a multiple of `num_envs`."""
    gamma: float = 0.99
    """Discount factor per step."""
    n_steps: int = 1
    """Length of the n-step return: rewards summed before the value of what follows is added."""
    target_network_frequency: int = 64
    """Updates between copies of the network into the target network, where `tau` is 1."""
    tau: Schedule = 1.0
    """1: copy the network into the target network every `target_network_frequency` updates;
    below 1: Polyak averaging by this share after every update (schedule)."""
    epsilon: Schedule = "linear:1:0.05:0.5"
    """Probability of a random action (schedule)."""
    double: bool = True
    """Double DQN: the network chooses the next action, the target network values it."""
    dueling: bool = False
    """Dueling network: the state's value and the actions' advantages are learned apart."""
    head: Literal["mean", "categorical", "quantile"] = "mean"
    """What is learned of each action's return:
    its mean, its distribution over fixed returns (C51), or its quantiles (QR-DQN)."""
    num_atoms: int = 51
    """Number of fixed returns (C51) or of quantiles (QR-DQN)."""
    value_min: float = -10.0
    """Lowest return that C51 can represent."""
    value_max: float = 10.0
    """Highest return that C51 can represent."""
    prioritized: bool = False
    """Replay transitions with a large error more often."""
    priority_alpha: float = 0.6
    """How much more often: 0 uniformly, 1 in proportion to the error."""
    priority_beta: Schedule = "linear:0.4:1"
    """How far importance weights correct for that: 0 not at all, 1 fully (schedule)."""
    huber: bool = True
    """Huber loss: the gradient of errors above 1 is cut; where means are learned."""
    max_grad_norm: float = 10.0
    """Largest norm of the gradient; 0: no limit."""
    scale_obs: bool = False
    """Map observations from the bounds of their Box to -1..1, where it has bounds."""
    hidden_sizes: tuple[int, ...] = (120, 84)
    """Widths of the hidden layers."""
    activation: str = "relu"
    """Activation between the layers: tanh, relu, silu or gelu."""
    cuda_graphs: bool = True
    """On a GPU: record the updates as a CUDA graph and replay it, and acting too where the worlds are on the GPU."""
    rnd_coef: float = 0.0
    """Weight of a bonus for rarely seen observations, by random network distillation; 0: none.
    A step keeps the bonus that it had when it was played."""
    log_every: int = 2_000
    """Agent-steps per iteration; metrics are logged after each."""

    def __post_init__(self) -> None:
        checks.kinds(self)
        checks.numbers(self, "total_timesteps num_envs buffer_size batch_size train_frequency n_steps", low=1)
        checks.numbers(self, "target_network_frequency log_every", low=1)
        checks.numbers(self, "gamma tau epsilon priority_alpha priority_beta", 0, 1)
        checks.numbers(self, "learning_rate weight_decay max_grad_norm learning_starts rnd_coef", low=0)
        checks.numbers(self, "num_atoms", low=2)
        checks.numbers(self, "value_min value_max")
        if self.batch_size > self.buffer_size:
            raise ValueError(f"batch_size {self.batch_size} is more than buffer_size {self.buffer_size}; lower it")
        if not self.value_min < self.value_max:
            raise ValueError(f"value_min {self.value_min} must be less than value_max {self.value_max}")


def check_spaces(observation_space: spaces.Space, action_space: spaces.Space) -> None:
    """DQN takes any observation of a fixed size and Discrete actions.

    Raises:
        ValueError: another space; it names the algorithms that fit.
    """
    if not isinstance(action_space, spaces.Discrete):
        flat = isinstance(action_space, spaces.Box | spaces.MultiDiscrete) and len(action_space.shape) == 1
        others = "use ppo" if flat else "wrap the env so that its actions are one choice"
        others = "use ddpg or ppo" if flat and isinstance(action_space, spaces.Box) else others
        raise ValueError(f"DQN needs a Discrete action space, got {action_space}; {others}")
    Encoder(observation_space)


class Traces(NamedTuple):
    """What `Policy.backward` needs: features `[B, num_features]`, and the way through each network."""

    seen: Tensor
    advantage: Trace
    state_value: Trace | None


class Policy(nn.Module):
    """A value for every action; the best one is taken, or now and then a random one.

    Buffers: `epsilon` float32 `[]`, the share of random actions.
    """

    epsilon: Tensor

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space, config: Config) -> None:
        check_spaces(observation_space, action_space)
        super().__init__()
        assert isinstance(action_space, spaces.Discrete)
        self.features = Features(Encoder(observation_space).space, config.scale_obs)
        self.first_action, self.num_actions = int(action_space.start), int(action_space.n)
        self.head = make_head(config)
        self.num_atoms = self.head.num_atoms
        widths = (self.features.num_features, *config.hidden_sizes)
        self.advantage = MLP((*widths, self.num_actions * self.num_atoms), config.activation, gain=1.0)
        self.state_value = MLP((*widths, self.num_atoms), config.activation, gain=1.0) if config.dueling else None
        self.register_buffer("epsilon", torch.tensor(float(schedules.value(config.epsilon, 0))))

    def initial_memory(self, num_envs: int) -> Tensor:
        """Nothing to remember: `[num_envs, 0]`."""
        return torch.zeros(num_envs, 0)

    def outputs(self, obs: Tensor) -> Tensor:
        """What the head reads, `[N, num_actions, num_atoms]`, for observations `[N, *shape]`."""
        seen = self.features(obs)
        return self._combined(self.advantage(seen), None if self.state_value is None else self.state_value(seen))

    def _combined(self, advantage: Tensor, state_value: Tensor | None) -> Tensor:
        advantage = advantage.view(-1, self.num_actions, self.num_atoms)
        if state_value is None:
            return advantage
        return state_value.unsqueeze(1) + advantage - advantage.mean(dim=1, keepdim=True)

    def trace(self, obs: Tensor) -> tuple[Tensor, "Traces"]:
        """`outputs`, and what `backward` needs to know of the way there; both within `features.no_autograd()`."""
        seen = self.features.trace(obs)
        advantage = self.advantage.trace(seen)
        state_value = None if self.state_value is None else self.state_value.trace(seen)
        outputs = self._combined(advantage.output, None if state_value is None else state_value.output)
        return outputs, Traces(seen, advantage, state_value)

    def backward(self, traces: "Traces", grads: Tensor) -> None:
        """Sets the gradients of a loss, given those w.r.t. `outputs`; those of convolutions add to what is there."""
        deeper = slice(None) if traces.seen.requires_grad else None
        centered = grads if self.state_value is None else grads - grads.mean(dim=1, keepdim=True)
        by_features = self.advantage.backward(traces.advantage, centered.flatten(1), inputs=deeper)
        if self.state_value is not None and traces.state_value is not None:
            more = self.state_value.backward(traces.state_value, grads.sum(dim=1), inputs=deeper)
            by_features = more if by_features is None or more is None else by_features + more
        if deeper is not None:
            traces.seen.backward(by_features)

    def forward(self, obs: Tensor) -> Tensor:
        """The actions' values, `[N, num_actions]`, in observations `[N, *shape]`."""
        return self.head.mean(self.outputs(obs))

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
        """Actions int64 `[N]`, legal where a mask bool `[N, num_actions]` is given, and the memory."""
        values = self.head.mean(self.outputs(obs))
        if not deterministic:
            draws = torch.rand(len(obs), self.num_actions + 1, generator=generator, device=obs.device)
            chance, random = draws.split((1, self.num_actions), dim=1)
            values = torch.where(chance < self.epsilon, random, values)
        actions = masked(values, mask).argmax(dim=-1)
        return actions + self.first_action if self.first_action else actions, memory

    def numbered(self, actions: Tensor) -> Tensor:
        """Actions of the space, int64, as 0 to `num_actions` - 1."""
        return actions - self.first_action if self.first_action else actions


def masked(values: Tensor, mask: Tensor | None) -> Tensor:
    """Values `[N, n]` with those of illegal actions at -inf."""
    return values if mask is None else values.masked_fill(~mask, -torch.inf)


def make_policy(envs: Any, config: Config) -> Policy:
    """An untrained policy for the spaces of envs."""
    return Policy(envs.single_observation_space, envs.single_action_space, config)


class TrainState:
    """Everything that training changes."""

    def __init__(self, envs: Any, config: Config, device: str = "cpu") -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.policy = make_policy(envs, config)
            space = Encoder(envs.single_observation_space).space
            self.novelty = Novelty(space, envs.num_envs, config.gamma, device=device) if config.rnd_coef else None
        self.policy.to(device)
        self.target = copy.deepcopy(self.policy)
        self.target_parameters = flatten_parameters([self.target])
        self.optimizer = FlatAdam(
            [self.policy], schedules.value(config.learning_rate, 0), weight_decay=config.weight_decay
        )
        self.generator = torch.Generator(device).manual_seed(config.seed)
        self.collector: Any = make_collector(envs, device, config.seed, fixed=False if self.novelty else None)
        self.rollout = self.collector.new_rollout(max(1, config.train_frequency // envs.num_envs))
        self.replay = Replay(config.buffer_size, self.rollout, config.gamma, config.n_steps)
        if config.prioritized:
            self.replay.priorities = Priorities(config.buffer_size, config.priority_alpha, device)
        checks.mask_columns(self.collector.masks.num_columns, self.policy.num_actions)
        self.graphs = Graphs(self.collector.device, [self.generator], config.cuda_graphs)
        self.global_step = 0
        self.num_updates = 0

    def state_dict(self) -> dict[str, Any]:
        """Tensors and JSON scalars, nested."""
        return {
            "policy": copied(self.policy),
            "target": copied(self.target),
            "optimizer": self.optimizer.state_dict(),
            "novelty": self.novelty and self.novelty.state_dict(),
            "replay": self.replay.state_dict(),
            "generator": self.generator.get_state(),
            "collector": self.collector.state_dict(),
            "global_step": self.global_step,
            "num_updates": self.num_updates,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave; learning then goes on as if it had not stopped."""
        for name in ("policy", "target", "optimizer", "collector"):
            getattr(self, name).load_state_dict(saved[name])
        self.replay.load_state_dict(saved["replay"], continues="envs" in saved["collector"])
        if self.novelty is not None:
            self.novelty.load_state_dict(saved["novelty"])
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
        "charts/epsilon", "charts/learning_rate", and from `learning_starts` on "losses/td_loss" and "losses/q_value"
        (means).
    """
    state = state or TrainState(envs, config)
    while state.global_step < config.total_timesteps:
        end = min(config.total_timesteps, (state.global_step // config.log_every + 1) * config.log_every)
        records: list[tuple[Tensor, Tensor]] = []
        while state.global_step < end:
            now = schedules.at(config, state.global_step / config.total_timesteps)
            before = max(state.global_step, config.learning_starts)
            collect(state, now)
            due = state.global_step // config.train_frequency - before // config.train_frequency
            records += [update(state, now) for _ in range(due if state.replay.size else 0)]
        yield metrics(state, records)


def collect(state: TrainState, config: Config) -> None:
    """Plays the next steps of every row into the replay.

    A bonus for novelty is added as they come in, as in Taiga et al. (arXiv 1908.02388) and NGU (Badia et al., arXiv
    2002.06038): what was seen counts once each time that it is seen, and each of several steps brings its own.
    """
    policy = state.policy
    policy.epsilon.fill_(config.epsilon)

    def act(obs: Tensor, mask: Tensor | None, memory: Tensor, starts: Tensor) -> tuple[Tensor, Tensor, dict]:
        return *policy.act(obs, mask, memory, starts, generator=state.generator), {}

    horizon.check(state.collector, state.rollout)
    fixed = state.collector.fixed
    state.graphs.run("collect", lambda: state.collector.collect(act, state.rollout), fixed=fixed)
    if state.novelty is not None:
        state.rollout.rewards.add_(state.novelty(state.rollout, state.generator), alpha=config.rnd_coef)
    state.global_step += state.replay.add(state.rollout)


def update(state: TrainState, config: Config) -> tuple[Tensor, Tensor]:
    """`descend`, and the target network follows where it is its turn."""
    state.optimizer.learning_rate = config.learning_rate
    now = state.graphs.numbers(config)
    state.num_updates += 1
    with state.policy.features.no_autograd():
        found = state.graphs.run("descend", lambda: descend(state, now))
        if config.tau < 1 or state.num_updates % config.target_network_frequency == 0:
            state.target_parameters.lerp_(state.optimizer.flat, config.tau)
        return state.graphs.kept(found)


def descend(state: TrainState, config: Config) -> tuple[Tensor, Tensor]:
    """One step of Adam on a sample; returns errors `[B]` and outputs of what was done, `[B, num_atoms]`."""
    policy, priorities, optimizer = state.policy, state.replay.priorities, state.optimizer
    if priorities is None:
        places, weights = state.replay.draw(config.batch_size, state.generator), None
    else:
        places, weights = priorities.draw(config.batch_size, state.replay.filled, config.priority_beta, state.generator)
    batch = state.replay.take(places)
    ahead = look_ahead(state, batch, config.double)
    everything, traces = policy.trace(batch.obs)
    index = of_actions(policy.numbered(batch.actions), policy.num_atoms)
    outputs = everything.gather(1, index).squeeze(1)
    grads, errors = policy.head.compare(outputs, ahead, batch.rewards, batch.discounts)
    grads = (grads if weights is None else grads * weights.unsqueeze(1)) / len(errors)
    optimizer.zero_grad()
    policy.backward(traces, torch.zeros_like(everything).scatter_(1, index, grads.unsqueeze(1)))
    optimizer.step(config.max_grad_norm)
    if priorities is not None:
        priorities.update(places, errors)
    return errors, outputs


def look_ahead(state: TrainState, batch: Transitions, double: bool) -> Tensor:
    """What the target network says of the best legal next actions, `[B, num_atoms]`."""
    outputs = state.target.outputs(batch.next_obs)
    chooser = state.policy(batch.next_obs) if double else state.policy.head.mean(outputs)
    best = masked(chooser, batch.next_mask).argmax(dim=-1)
    return outputs.gather(1, of_actions(best, outputs.shape[2])).squeeze(1)


def of_actions(actions: Tensor, num_atoms: int) -> Tensor:
    """Where outputs `[B, num_actions, num_atoms]` have those of actions int64 `[B]`: an index for `gather` along 1."""
    index = actions.view(-1, 1, 1)
    return index if num_atoms == 1 else index.expand(-1, 1, num_atoms)


def metrics(state: TrainState, records: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """What an iteration came to."""
    found = {"charts/epsilon": float(state.policy.epsilon), "charts/learning_rate": state.optimizer.learning_rate}
    if records:
        errors, outputs = (torch.stack(parts) for parts in zip(*records, strict=True))
        head = state.policy.head
        found["losses/td_loss"], found["losses/q_value"] = (
            float(values.mean()) for values in (head.losses(errors), head.mean(outputs))
        )
    return found | state.collector.episode_metrics()
