"""PPO's policy: observations -> features (of a team) -> memory -> trunks -> action distribution and value."""

from contextlib import nullcontext
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agents.distributions import Heads
from agents.encoding import Encoder
from agents.entities import Entities, Team, make_pointer, tied_columns
from agents.memory import make_memory
from agents.networks import MLP, Features, Trace, is_image, widened
from agents.normalize import RunningNorm


def check_spaces(observation_space: spaces.Space, action_space: spaces.Space) -> None:
    """PPO takes any observation of a fixed size and Discrete, or one-dimensional MultiDiscrete or Box actions.

    Raises:
        ValueError: another space.
    """
    Encoder(observation_space)
    flat = isinstance(action_space, spaces.Box | spaces.MultiDiscrete) and len(action_space.shape) == 1
    if not (flat or isinstance(action_space, spaces.Discrete)):
        raise ValueError(
            f"PPO needs a Discrete, or a one-dimensional MultiDiscrete or Box action space, got {action_space}; wrap "
            "the env so that its actions are one of these"
        )


class Policy(nn.Module):
    """An actor and a critic; what `agents.ppo.Config` says decides what they share.

    `kind` is what the shapes of its tensors don't tell of how it acts. `plain` says whether observations go into linear
    layers as they are; where it `widens`, these may come `widened`. `has_backward` says whether it knows its gradients
    (`trace`, `backward`): where actor and critic are linear layers, and an action has one part.

    The memory is `[N, m]`, with m 0 where nothing is remembered; `forward` then takes any leading dimensions and
    leaves memory and starts alone. With a memory it takes sequences, `[T, N, ...]`.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        config: Any,
        action_layout: Any = None,
        obs_layout: dict[str, Any] | None = None,
    ) -> None:
        check_spaces(observation_space, action_space)
        super().__init__()
        space = Encoder(observation_space).space
        shape, entities, tied = tuple(space.shape or ()), None, None
        if config.network == "entities":
            if len(shape) != 1:
                raise ValueError(
                    f'network "entities" needs one-dimensional observations, got {space}; use network "mlp"'
                )
            entities = Entities(obs_layout, config.entity_size)
            tied = tied_columns(obs_layout or {}, shape[0])
        self.kind = config.activation, config.precision, config.memory, config.team_size, config.shared_trunk
        self.bfloat16 = config.precision == "bfloat16"
        real = isinstance(space, spaces.Box) and not is_image(space)
        self.norm = RunningNorm(shape, tied=tied) if config.normalize_obs and real else None
        self.features = entities or Features(space)
        self.heads = Heads(action_space, action_layout, config.log_std_init, by_kind=entities is not None)
        self.pointer = None if entities is None else make_pointer(self.heads, entities.num_rows, config.entity_size)
        width = self.features.num_features
        self.team = None
        if config.team_size > 1:
            self.team = Team(width, config.team_size, config.entity_size)
            width = self.team.num_features
        self.remember = make_memory(config.memory, width, config.memory_size, config.context_steps)
        widths = (width if self.remember is None else self.remember.num_features, *config.hidden_sizes)
        self.trunk = None
        if config.shared_trunk and config.hidden_sizes:
            self.trunk = MLP(widths, config.activation)
            widths = widths[-1:]
        num_outputs = self.heads.num_outputs if self.pointer is None else self.pointer.num_inputs
        self.actor = MLP((*widths, num_outputs), config.activation, gain=0.01)
        self.critic = MLP((*widths, 1), config.activation, gain=1.0)
        self.plain = self.remember is self.team is entities is self.features.convolutions is None
        self.has_backward = self.plain and self.trunk is None and self.heads.has_backward and not self.bfloat16
        self.widens = False

    def widen(self) -> None:
        """For a GPU: from now on matrix products are of rows whose width suits it (`networks.wide`)."""
        self.widens = self.plain
        for part in filter(None, (self.trunk, self.actor, self.critic)):
            part.widen()

    def initial_memory(self, num_envs: int) -> Tensor:
        """Of worlds of which nothing was seen: zeros `[num_envs, m]`."""
        return torch.zeros(num_envs, 0 if self.remember is None else self.remember.num_numbers)

    def _cast(self, device: torch.device) -> Any:
        """Within this, matrix products are of bfloat16 where that was asked for."""
        if not self.bfloat16:
            return nullcontext()
        return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)

    def _see(self, obs: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features `[..., f]`, and of entities the rows `[..., R, size]`."""
        if obs.dtype == torch.bfloat16 and not self.widens:
            obs = obs.float()
        seen = self.features(obs if self.norm is None else self.norm(obs))
        if self.widens:
            return widened(seen, torch.bfloat16 if self.bfloat16 else torch.float32), None
        seen, rows = seen if isinstance(seen, tuple) else (seen, None)
        return seen if self.team is None else self.team(seen), rows

    def _body(
        self, obs: Tensor, memory: Tensor, starts: Tensor, one_step: bool
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """What actor and critic take, the rows of entities, and the next memory; of `one_step`, or of sequences."""
        seen, rows = self._see(obs)
        if self.remember is not None:
            seen, memory = (self.remember.step if one_step else self.remember)(seen, memory, starts)
        return seen if self.trunk is None else self.trunk.activation(self.trunk(seen)), rows, memory

    def _outputs(self, seen: Tensor, rows: Tensor | None) -> Tensor:
        """What the distribution of actions is made of, `[..., outputs]`."""
        outputs = self.actor(seen)
        return outputs if self.pointer is None else self.pointer(outputs, rows)

    def forward(
        self, obs: Tensor, mask: Tensor | None, memory: Tensor, starts: Tensor, one_step: bool = False
    ) -> tuple[Any, Tensor, Tensor]:
        """The distribution of actions, the value `[...]` and the next memory for observations `[..., *shape]`."""
        with self._cast(obs.device):
            seen, rows, memory = self._body(obs, memory, starts, one_step)
            outputs, value = self._outputs(seen, rows), self.critic(seen).squeeze(-1)
        return self.heads(outputs.float(), mask), value.float(), memory.float()

    def step(self, obs: Tensor, mask: Tensor | None, memory: Tensor, starts: Tensor) -> tuple[Any, Tensor, Tensor]:
        """`forward` for one step, observations `[N, *shape]`."""
        return self(obs, mask, memory, starts, one_step=True)

    def trace(self, obs: Tensor, mask: Tensor | None) -> tuple[Any, Tensor, tuple[Trace, Trace]]:
        """The distribution of actions and the value for observations `[B, *shape]`, and what `backward` needs to know
        of the way there; both without autograd, and only where `has_backward` is true."""
        seen, _ = self._see(obs)
        actor, critic = self.actor.trace(seen), self.critic.trace(seen)
        return self.heads(actor.output, mask), critic.output.squeeze(-1), (actor, critic)

    def backward(self, traces: tuple[Trace, Trace], by_outputs: Tensor, by_values: Tensor) -> None:
        """Sets the gradients of a loss, given those w.r.t. what the heads take and w.r.t. the values `[B]`."""
        actor, critic = traces
        self.actor.backward(actor, by_outputs)
        self.critic.backward(critic, by_values.unsqueeze(-1))

    def value(self, obs: Tensor, memory: Tensor) -> Tensor:
        """`[N]` of observations `[N, *shape]` within an episode, with the memory of what was before."""
        with self._cast(obs.device):
            seen, _, _ = self._body(obs, memory, torch.zeros(len(obs), dtype=torch.bool, device=obs.device), True)
            return self.critic(seen).squeeze(-1).float()

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
        with self._cast(obs.device):
            seen, rows, memory = self._body(obs, memory, starts, one_step=True)
            outputs = self._outputs(seen, rows)
        dist, memory = self.heads(outputs.float(), mask), memory.float()
        if deterministic:
            return dist.mode(), memory
        if noise is None:
            noise = self.heads.noise((len(obs),), generator, obs.device)
        return dist.sample(noise), memory
