"""Proximal policy optimisation (Schulman et al., arXiv 1707.06347), with the details that matter (Huang et al., "The 37
implementation details of PPO", 2022).

Read from top to bottom: `Config`, `TrainState`, then `learn`: collect, estimate, update. The policy's network is in
actor_critic.py. One with a memory learns from segments of rows, each from the memory that it began with.
"""

import copy
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from agents import checks, distributed, horizon, schedules
from agents.actor_critic import Policy
from agents.actor_critic import check_spaces as check_spaces
from agents.encoding import Encoder
from agents.graphs import Graphs
from agents.halves import make_collector
from agents.minibatches import Batch, most_rows, pieces, segments, shuffled, standardise
from agents.networks import copied
from agents.normalize import RewardScale
from agents.optimizer import FlatAdam
from agents.returns import gae, next_values
from agents.rnd import Novelty
from agents.rollout import Rollout
from agents.schedules import Schedule


@dataclass(frozen=True)
class Config:
    """How PPO learns; the defaults are CleanRL's for classic control.

    Fields that say "schedule" also take one, such as linear:0.01:0.001 (agents/schedules.py).
    """

    total_timesteps: int = 500_000
    """Agent-steps to learn from, over all worlds."""
    seed: int = 1
    """Seed of the worlds, the initial weights, the actions and the minibatches."""
    num_envs: int = 8
    """Worlds stepped in parallel, summed over all processes."""
    num_steps: int = 128
    """Steps per world in each iteration (the length of a rollout)."""
    learning_rate: Schedule = 2.5e-4
    """Adam's learning rate (schedule)."""
    anneal_lr: bool = True
    """Lower the learning rate linearly to 0 over the run, unless it has a schedule of its own."""
    weight_decay: float = 0.0
    """AdamW's weight decay: each update takes away this share of the weights, times the learning rate."""
    gamma: Schedule = 0.99
    """Discount factor per step (schedule; the scales of rewards and of the novelty bonus keep its first value)."""
    gae_lambda: float = 0.95
    """Lambda of generalised advantage estimation: 0 is one-step, 1 Monte Carlo."""
    num_minibatches: int = 4
    """Minibatches per pass over an iteration's steps."""
    update_epochs: int = 4
    """Passes over an iteration's steps."""
    norm_adv: bool = True
    """Standardise the advantages within each minibatch."""
    clip_coef: Schedule = 0.2
    """Clip range of the probability ratio: beyond it the gradient is cut (schedule)."""
    clip_vloss: bool = True
    """Clip the change of the values by `clip_coef` too."""
    ent_coef: Schedule = 0.01
    """Weight of the entropy bonus (schedule)."""
    vf_coef: float = 0.5
    """Weight of the value loss."""
    max_grad_norm: float = 0.5
    """Largest norm of the gradient; longer gradients are scaled down to it."""
    target_kl: float = 0.0
    """End an iteration's passes early once the policy has moved further than this KL divergence; 0: never."""
    normalize_obs: bool = False
    """Standardise observations by running statistics, clipped to +-10; images and Discretes stay as they are."""
    normalize_reward: bool = False
    """Divide rewards by the running standard deviation of the discounted return."""
    hidden_sizes: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of the policy network and of the value network."""
    activation: str = "tanh"
    """Activation between the layers: tanh, relu, silu or gelu."""
    log_std_init: float = 0.0
    """Initial log standard deviation of Box actions."""
    network: Literal["mlp", "entities"] = "mlp"
    """mlp: observations go straight into the trunks, images through convolutions first;
    entities: they go through an encoder of the units that the env's obs_layout names."""
    entity_size: int = 64
    """Width of an entity's embedding."""
    team_size: int = 1
    """Number of consecutive rows that form a team; 1: no sharing.
    Each also receives the element-wise maximum of its team's embeddings, `entity_size` wide."""
    shared_trunk: bool = False
    """One trunk for policy and value with an output layer each, instead of a trunk each."""
    memory: Literal["", "lstm", "gru", "transformer"] = ""
    """Memory before the trunks, kept within an episode; "" is none."""
    memory_size: int = 64
    """Width of the memory."""
    segment_steps: int = 16
    """With a memory: length of the segments that gradients flow back through; `num_steps` must be a multiple."""
    context_steps: int = 32
    """Steps that each block of a transformer looks back."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """Precision of the network's matrix products; weights, losses and distributions stay float32."""
    bf16_obs: bool = False
    """With worlds on a GPU: keep an iteration's observations in bfloat16, which halves their memory."""
    cuda_graphs: bool = True
    """On a GPU: record the updates as a CUDA graph and replay it, and acting too where the worlds are on the GPU."""
    compile: bool = False
    """Compile the forward pass of a minibatch with torch.compile; measure whether it pays.
    It takes half a minute at first, and a C++ compiler."""
    rnd_coef: float = 0.0
    """Weight of a bonus for rarely seen observations, by random network distillation; 0: none."""

    def __post_init__(self) -> None:
        checks.kinds(self)
        checks.numbers(self, "total_timesteps num_envs num_steps num_minibatches update_epochs", low=1)
        checks.numbers(self, "entity_size team_size memory_size segment_steps context_steps", low=1)
        checks.numbers(self, "gamma gae_lambda", 0, 1)
        checks.numbers(self, "learning_rate weight_decay max_grad_norm target_kl rnd_coef", low=0)
        checks.numbers(self, "clip_coef ent_coef vf_coef", low=0)
        checks.numbers(self, "log_std_init")
        if self.memory and self.num_steps % self.segment_steps:
            raise ValueError(
                f"num_steps = {self.num_steps} steps can't be cut into segments of segment_steps = "
                f"{self.segment_steps}; choose a multiple"
            )
        if self.rnd_coef and self.bf16_obs:
            raise ValueError("bf16_obs keeps no last observations, which rnd_coef asks for; leave one of them out")
        what, length = ("segments", self.segment_steps) if self.memory else ("steps", 1)
        count = self.num_envs * self.num_steps // length
        if count < self.num_minibatches * self.team_size:
            teams = f" of teams of {self.team_size}" if self.team_size > 1 else ""
            raise ValueError(
                f"{count} {what} can't be cut into {self.num_minibatches} minibatches{teams}; lower num_minibatches"
            )


C = TypeVar("C", bound=Config)
T = TypeVar("T")


def make_policy(envs: Any, config: Config) -> Policy:
    """An untrained policy for the spaces of envs, and for the layouts of their masks and observations, where told."""
    layouts = (getattr(envs, name, None) for name in ("action_layout", "obs_layout"))
    return Policy(envs.single_observation_space, envs.single_action_space, config, *layouts)


class TrainState:
    """Everything that training changes.

    Attributes:
        policy, optimizer: what is learned, and Adam over its flat parameters.
        collector: the envs, and who plays them.
        novelty: the bonus for what is rarely seen, or None.
        reward_scale: running statistics of the discounted return.
        generator: of actions and minibatches.
        graphs, update_graphs: what is recorded of acting and of updates, on a GPU.
        reconsider: the function of that name, compiled where the config asks for it.
        global_step: agent-steps learned from.
        begun: `[T / L, N, m]`: the memories that an iteration's segments began with, where acting keeps them.
        settled: the batch, where epochs are recorded and horizons are not; see `settle`.
        num_settled: how many of different shapes there were.
    """

    def __init__(self, envs: Any, config: Config, device: str = "cpu") -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            check_teams(envs, config)
            self.policy = make_policy(envs, config)
            space = Encoder(envs.single_observation_space).space
            start = schedules.at(config, 0)
            self.novelty = Novelty(space, envs.num_envs, start.gamma, device=device) if config.rnd_coef else None
        self.policy.to(device)
        if torch.device(device).type == "cuda":
            self.policy.widen()
        self.reward_scale = RewardScale(envs.num_envs, start.gamma).to(device)
        self.optimizer = FlatAdam([self.policy], start.learning_rate, eps=1e-5, weight_decay=config.weight_decay)
        self.generator = torch.Generator(device).manual_seed(distributed.seed(config.seed))
        self.collector: Any = make_collector(envs, device, config.seed, fixed=False if self.novelty else None)
        if config.bf16_obs:
            self.collector.keep_obs_in(torch.bfloat16, self.policy.widens and self.policy.norm is None)
        torch.set_float32_matmul_precision("high" if config.precision == "tf32" else "highest")
        self.collector.memory = self.policy.initial_memory(envs.num_envs).to(device)
        if not self.policy.heads.is_box:
            checks.mask_columns(self.collector.masks.num_columns, self.policy.heads.num_columns)
        alone = distributed.size() == 1 and self.novelty is None
        draws = [self.generator, self.collector.owners.generator]
        self.graphs = Graphs(self.collector.device, draws, config.cuda_graphs)
        self.update_graphs = self.graphs if alone else Graphs(torch.device("cpu"))
        self.reconsider = compiled(reconsider) if config.compile else reconsider
        self.begun = torch.zeros(0)
        self.settled: Batch | None = None
        self.num_settled = 0
        self.global_step = 0

    def state_dict(self) -> dict[str, Any]:
        """Tensors and JSON scalars, nested; "ranks" has what the ranks after the first have of their own."""
        own = {
            "reward_scale": copied(self.reward_scale),
            "novelty": self.novelty and self.novelty.state_dict(),
            "generator": self.generator.get_state(),
            "collector": self.collector.state_dict(),
        }
        return {
            "policy": copied(self.policy),
            "optimizer": self.optimizer.state_dict(),
            **own,
            "ranks": distributed.gather_first(own)[1:],
            "global_step": self.global_step,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave; learning then goes on as if it had not stopped.

        Raises:
            ValueError: it is of another number of processes.
        """
        saved = distributed.own(saved)
        self.policy.load_state_dict(saved["policy"])
        self.reward_scale.load_state_dict(saved["reward_scale"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.novelty is not None:
            self.novelty.load_state_dict(saved["novelty"])
        self.generator.set_state(saved["generator"])
        self.collector.load_state_dict(saved["collector"])
        self.global_step = int(saved["global_step"])


def check_teams(envs: Any, config: Config) -> None:
    """The seats that the rows are must divide into teams.

    Raises:
        ValueError: they don't.
    """
    seats = getattr(envs, "num_seats", 1)
    if seats % config.team_size:
        raise ValueError(f"team_size = {config.team_size} does not divide the {seats} seats of a world; use 1, or all")


def compiled(function: Callable[..., T]) -> Callable[..., T]:
    """The function by torch.compile.

    Raises:
        ValueError: there is no C++ compiler.
    """
    if shutil.which(os.environ.get("CXX", "g++")) is None and shutil.which("clang++") is None:
        raise ValueError("compile = True needs a C++ compiler, and there is no g++ or clang++ here; install one")
    return torch.compile(function)


def learn(envs: Any, config: Config, state: TrainState | None = None) -> Iterator[dict[str, float]]:
    """Learns until `config.total_timesteps`; one yield an iteration of `num_steps` steps of every row.

    In several processes (agents/distributed.py) each has rows of its own; what is learned from, and all that is
    yielded, is of all of them together.

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
    distributed.broadcast(state.policy.state_dict().values())
    rollout = new_rollout(state, config)
    while state.global_step < config.total_timesteps:
        yield iterate(state, rollout, at(config, state.global_step / config.total_timesteps))


def at(config: C, progress: float) -> C:
    """The config as it is after a share of the run, 0..1: schedules become numbers, the learning rate comes down."""
    now = copy.copy(schedules.at(config, progress))
    if config.anneal_lr and not isinstance(config.learning_rate, str):
        vars(now)["learning_rate"] = config.learning_rate * (1 - progress)
    return now


def new_rollout(state: TrainState, config: Config) -> Rollout:
    """Room for an iteration. With a memory, a shared trunk or worlds on a GPU also for the values and log-probabilities
    of actions, where acting finds them all but for free: to go through all steps a second time would take an eighth of
    the iteration, or more."""
    if not (config.memory or config.shared_trunk or state.collector.fixed):
        return state.collector.new_rollout(config.num_steps)
    if config.memory:
        state.begun = state.collector.memory.repeat(config.num_steps // config.segment_steps, 1, 1)
    numbers = dict.fromkeys(("log_probs", "values"), ((), torch.float32))
    return state.collector.new_rollout(config.num_steps, numbers)


def iterate(state: TrainState, rollout: Rollout, config: Config) -> dict[str, float]:
    """Plays a horizon and learns from it, with a config of numbers; returns what `learn` yields."""
    state.optimizer.learning_rate = config.learning_rate
    version, fixed = state.collector.owners.version, state.collector.fixed
    horizon.check(state.collector, rollout)
    state.graphs.run("collect", lambda: collect(state, rollout), version, fixed=fixed)
    if rollout.ends is not None and state.collector.owners.opponents:
        state.collector.episodes.note_games(rollout, state.collector.envs.world.statistics)
    first, norm = state.global_step == 0, state.policy.norm
    valid = None if rollout.all_valid else rollout.valid.flatten()
    if norm is not None and first:
        norm.update(rollout.obs[:-1].flatten(0, 1), valid)
    now = state.update_graphs.numbers(config)
    batch = state.update_graphs.run("estimate", lambda: estimate(state, rollout, now), version, fixed=fixed)
    if not distributed.total(len(batch.obs)):  # nothing but the fake steps of NEXT_STEP
        return state.collector.episode_metrics()
    metrics = update(state, batch if fixed else settle(state, batch), now)
    if norm is not None and not first:
        norm.update(rollout.obs[:-1].flatten(0, 1), valid)
    state.global_step += distributed.total(rollout.valid.numel() if valid is None else int(valid.sum()))
    metrics["charts/learning_rate"] = config.learning_rate
    return metrics | state.collector.episode_metrics()


def collect(state: TrainState, rollout: Rollout) -> None:
    """Plays one horizon; its noise is drawn in one call."""
    policy = state.policy
    shape = (rollout.num_steps, rollout.num_envs)
    noise = policy.heads.noise(shape, state.generator, rollout.rewards.device)
    turns = _turns(state, noise)

    def act(obs: Tensor, mask: Tensor | None, memory: Tensor, starts: Tensor) -> tuple[Tensor, Tensor, dict]:
        drawn, begun = next(turns)
        if "values" not in rollout.extras:
            return *policy.act(obs, mask, memory, starts, noise=drawn), {}
        if begun is not None:
            begun.copy_(memory)
        dist, values, memory = policy.step(obs, mask, memory, starts)
        actions = dist.sample(drawn)
        return actions, memory, {"log_probs": dist.log_prob(actions), "values": values}

    state.collector.collect(act, rollout)


def _turns(state: TrainState, noise: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
    """For each time that the policy acts its noise and, where segments begin, where its memory is to be kept."""
    sizes, begun = state.collector.sizes, state.begun
    length = len(noise) // len(begun) if len(begun) else len(noise) + 1
    parts = zip(*(part.unbind() for part in noise.split(sizes, dim=1)), strict=True)
    for t, drawn in enumerate(parts):
        places = begun[t // length].split(sizes) if len(begun) and t % length == 0 else [None] * len(sizes)
        yield from zip(drawn, places, strict=True)


@torch.no_grad()
def estimate(state: TrainState, rollout: Rollout, config: Config) -> Batch:
    """Values, log-probabilities, advantages and returns of a rollout's valid steps, in one forward pass."""
    policy, acted = state.policy, rollout.obs[:-1]
    mask = None if rollout.action_mask is None else rollout.action_mask[:-1]
    if "values" in rollout.extras and state.global_step:  # before, observations were not standardised
        log_probs, values = rollout.extras["log_probs"], rollout.extras["values"]
        memories = [*state.begun.unbind(), state.collector.memory]
    else:
        length = config.segment_steps if config.memory else most_rows(acted, rollout.num_steps, rollout.num_envs)
        log_probs, values, memories = review(policy, rollout, length)
    last_values = policy.value(rollout.obs[-1], memories[-1]).unsqueeze(0)
    final_values = policy.value(rollout.final_obs, rollout.final_memory)
    following = next_values(torch.cat([values, last_values]), rollout.final_index, final_values)
    terminated, truncated, rewards = rollout.terminated, rollout.truncated, rollout.rewards
    if config.normalize_reward:
        rewards = state.reward_scale(rewards, terminated | truncated, None if rollout.all_valid else rollout.valid)
    if state.novelty is not None:
        rewards = rewards + config.rnd_coef * state.novelty(rollout, state.generator)
    advantages = gae(rewards, values, following, terminated, truncated, config.gamma, config.gae_lambda)
    weight = None if rollout.all_valid else rollout.valid.float()
    steps = (acted, mask, rollout.actions, log_probs, values, advantages, advantages + values, weight)
    if config.memory:
        sequences = (*steps, rollout.starts[:-1])
        *parts, starts = (None if x is None else segments(x, config.segment_steps) for x in sequences)
        batch = Batch(*parts, torch.cat(memories[:-1]), starts)  # pyright: ignore
    else:
        batch = Batch(*(None if x is None else x.flatten(0, 1) for x in steps))  # pyright: ignore
    return batch if weight is None or rollout.ends is not None else batch.counting()


def review(policy: Policy, rollout: Rollout, length: int) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Log-probabilities and values `[T, N]` of a rollout, and its memories `[N, m]`, every `length` steps."""
    log_probs, values, memories = [], [], [rollout.memory]
    for first in range(0, rollout.num_steps, length):
        now = slice(first, min(first + length, rollout.num_steps))
        mask = None if rollout.action_mask is None else rollout.action_mask[now]
        dist, value, memory = policy(rollout.obs[now], mask, memories[-1], rollout.starts[now])
        log_probs.append(dist.log_prob(rollout.actions[now]))
        values.append(value)
        memories.append(memory)
    return torch.cat(log_probs), torch.cat(values), memories


def settle(state: TrainState, batch: Batch) -> Batch:
    """A batch that was not made of recorded work, laid where the one before was, so that recorded epochs find it.

    Batches of other shapes, such as those without the fake steps of NEXT_STEP, have places of their own.
    """
    if not state.update_graphs.enabled:
        return batch
    if state.settled is None or state.settled.shapes() != batch.shapes():
        state.settled, state.num_settled = batch, state.num_settled + 1
        return batch
    state.settled.copy_(batch)
    return state.settled


def update(state: TrainState, batch: Batch, config: Config) -> dict[str, float]:
    """All epochs over a batch, teams staying together; the metrics are means over the last epoch.

    Each rank has its part of every minibatch.
    """
    records, weights = torch.zeros(0), None
    fixed = state.collector.fixed
    version, after = (state.collector.owners.version, "estimate") if fixed else (state.num_settled, "")
    for _ in range(config.update_epochs):
        records, weights = state.update_graphs.run("epoch", lambda: epoch(state, batch, config), version, after)
        if config.target_kl and float(distributed.mean(records[3], weights)) > config.target_kl:
            break
    return summary(batch, records, weights)


def summary(batch: Batch, records: Tensor, weights: Tensor | None) -> dict[str, float]:
    """The "losses/..." that `learn` yields, of all ranks, given what `epoch` returned."""
    weight = None if batch.weight is None else batch.weight.flatten()
    groups = [batch.returns.flatten(), (batch.returns - batch.values).flatten()]
    spread, unexplained = (std.square() for std, _ in distributed.std_means(groups, [weight, weight]))
    means = torch.cat([distributed.mean(records.T, weights), torch.stack([spread, unexplained])]).tolist()
    names = ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction")
    metrics = {f"losses/{name}": value for name, value in zip(names, means, strict=False)}
    spread, unexplained = means[5:]
    metrics["losses/explained_variance"] = 1 - unexplained / spread if spread > 0 else 0.0
    return metrics


def epoch(state: TrainState, batch: Batch, config: Config) -> tuple[Tensor, Tensor | None]:
    """One pass over a batch in minibatches; returns what `minibatch_step` does, of all steps, `[5, B]`, and weights."""
    parts = shuffled(batch, config.num_minibatches, config.team_size, state.generator)
    if config.norm_adv:
        standardise(parts)
    records = torch.cat([minibatch_step(state, part, config) for part in parts], dim=1)
    return records, None if batch.weight is None else torch.cat([part.weight.flatten() for part in parts])  # pyright: ignore


def reconsider(policy: Policy, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities, values and entropies of a minibatch under the policy as it is now, `[B]` or `[S, L]`."""
    if batch.memory is None:
        dist, values, _ = policy(batch.obs, batch.action_mask, batch.obs, batch.obs)  # the last two are not looked at
        return dist.log_prob(batch.actions), values, dist.entropy()
    sequences = (batch.obs, batch.action_mask, batch.actions, batch.starts)
    obs, mask, actions, starts = (None if x is None else x.transpose(0, 1) for x in sequences)
    dist, values, _ = policy(obs, mask, batch.memory, starts)
    return dist.log_prob(actions).T, values.T, dist.entropy().T


Backward = Callable[[Tensor, Tensor, Tensor], None]
"""Sets a loss's gradients, given those w.r.t. log-probabilities, values and entropies."""


def by_autograd(state: TrainState, batch: Batch) -> tuple[tuple[Tensor, Tensor, Tensor], Backward]:
    """What `reconsider` gives, and the way back from there."""
    seen = state.reconsider(state.policy, batch)
    return seen, lambda *grads: torch.autograd.backward(seen, grads)


def by_hand(state: TrainState, batch: Batch) -> tuple[tuple[Tensor, Tensor, Tensor], Backward]:
    """The same for a policy with a backward pass of its own: autograd's calls are half of a small network's update."""
    policy = state.policy
    dist, values, traces = policy.trace(batch.obs, batch.action_mask)

    def backward(by_log_probs: Tensor, by_values: Tensor, by_entropy: Tensor) -> None:
        by_outputs = policy.heads.backward(dist, batch.actions, by_log_probs, by_entropy)
        policy.backward(traces, by_outputs, by_values)

    return (dist.log_prob(batch.actions), values, dist.entropy()), backward


def minibatch_step(state: TrainState, batch: Batch, config: Config) -> Tensor:
    """One step of Adam; returns policy loss, value loss, entropy, KL and whether clipped of each step, `[5, b]`."""
    optimizer, manual = state.optimizer, state.policy.has_backward and not config.compile
    count = batch.returns.numel() if batch.weight is None else batch.weight.sum()
    with torch.inference_mode(manual):
        results = []
        for piece in [batch] if config.compile else pieces(batch, config.team_size):
            before = optimizer.grad.clone() if results else None
            seen, backward = (by_hand if manual else by_autograd)(state, piece)
            optimizer.zero_grad()
            grads, result = loss(piece, *seen, count, config)
            backward(*grads)
            if before is not None:
                optimizer.grad += before
            results.append(result)
        distributed.average_gradients(optimizer.grad, count)
        optimizer.step(config.max_grad_norm)
        return torch.cat(results, dim=1)


@torch.no_grad()
def loss(
    batch: Batch, log_probs: Tensor, values: Tensor, entropy: Tensor, count: int | Tensor, config: Config
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """The gradients of a minibatch's loss, or of a piece of it, w.r.t. what the policy makes of it, and
    `minibatch_step`'s results; `count` is how many steps of the minibatch count. With r the ratio of probabilities, A
    the advantage and R the return, a step's loss is

        -min(r A, clip(r) A) + vf_coef / 2 max((v - R)^2, (clip(v) - R)^2) - ent_coef entropy

    (Schulman et al., eq. 7 and 9). Where the clipped one counts it has no slope: there nothing is gained by going on.
    """
    advantages, weight = batch.advantages, batch.weight
    log_ratio = log_probs - batch.log_probs
    if weight is not None:  # actions of others may be all but impossible for this policy
        log_ratio = log_ratio.masked_fill(weight == 0, 0)
    ratio = log_ratio.exp()
    clipped_ratio = ratio.clamp(1 - config.clip_coef, 1 + config.clip_coef)
    gains, clipped_gains = advantages * ratio, advantages * clipped_ratio
    by_log_probs = torch.where(gains > clipped_gains, 0, -gains)
    by_values = errors = values - batch.returns
    value_losses = errors.square()
    if config.clip_vloss:
        change = values - batch.values
        clipped = change.clamp(-config.clip_coef, config.clip_coef)
        clipped_losses = (errors - change + clipped).square()
        by_values = torch.where((clipped != change) & (clipped_losses > value_losses), 0, errors)
        value_losses = torch.max(value_losses, clipped_losses)
    share = torch.ones_like(errors).div_(count) if weight is None else weight / count.clamp(min=1)  # pyright: ignore
    grads = by_log_probs * share, config.vf_coef * by_values * share, -config.ent_coef * share
    moved = ratio - 1 - log_ratio, (clipped_ratio != ratio).float()
    results = torch.stack([-torch.min(gains, clipped_gains), 0.5 * value_losses, entropy, *moved])
    return grads, results.flatten(1)
