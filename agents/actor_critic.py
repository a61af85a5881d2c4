"""PPO's policy: observations -> features -> memory -> trunks -> a distribution of actions and a value."""

from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agents.distributions import Heads
from agents.encoding import Encoder
from agents.memory import make_memory
from agents.networks import MLP, Features
from agents.normalize import RunningNorm


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
    """An actor and a critic; what `agents.ppo.Config` says decides what they share.

    The memory is `[N, m]`, with m 0 where nothing is remembered; `forward` then takes any leading dimensions and
    leaves memory and starts alone. With a memory it takes sequences, `[T, N, ...]`.
    """

    def __init__(
        self, observation_space: spaces.Space, action_space: spaces.Space, config: Any, layout: Any = None
    ) -> None:
        check_spaces(observation_space, action_space)
        super().__init__()
        space = Encoder(observation_space).space
        self.norm = RunningNorm(tuple(space.shape or ())) if config.normalize_obs else None
        self.features = Features(space)
        self.heads = Heads(action_space, layout, config.log_std_init)
        width = self.features.num_features
        self.remember = make_memory(config.memory, width, config.memory_size, config.context_steps)
        widths = (width if self.remember is None else self.remember.num_features, *config.hidden_sizes)
        self.trunk = None
        if config.shared_trunk and config.hidden_sizes:
            self.trunk = MLP(widths, config.activation)
            widths = widths[-1:]
        self.actor = MLP((*widths, self.heads.num_outputs), config.activation, gain=0.01)
        self.critic = MLP((*widths, 1), config.activation, gain=1.0)

    def initial_memory(self, num_envs: int) -> Tensor:
        """Of worlds of which nothing was seen: zeros `[num_envs, m]`."""
        return torch.zeros(num_envs, 0 if self.remember is None else self.remember.num_numbers)

    def _see(self, obs: Tensor) -> Tensor:
        return self.features(obs if self.norm is None else self.norm(obs))

    def _deepen(self, seen: Tensor) -> Tensor:
        return seen if self.trunk is None else self.trunk.activation(self.trunk(seen))

    def forward(self, obs: Tensor, mask: Tensor | None, memory: Tensor, starts: Tensor) -> tuple[Any, Tensor, Tensor]:
        """The distribution of actions, the value `[...]` and the next memory for observations `[..., *shape]`."""
        seen = self._see(obs)
        if self.remember is not None:
            seen, memory = self.remember(seen, memory, starts)
        seen = self._deepen(seen)
        return self.heads(self.actor(seen), mask), self.critic(seen).squeeze(-1), memory

    def value(self, obs: Tensor, memory: Tensor) -> Tensor:
        """`[N]` of observations `[N, *shape]` within an episode, with the memory of what was before."""
        seen = self._see(obs)
        if self.remember is not None:
            seen, _ = self.remember.step(seen, memory, torch.zeros(len(obs), dtype=torch.bool, device=obs.device))
        return self.critic(self._deepen(seen)).squeeze(-1)

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
        seen = self._see(obs)
        if self.remember is not None:
            seen, memory = self.remember.step(seen, memory, starts)
        dist = self.heads(self.actor(self._deepen(seen)), mask)
        if deterministic:
            return dist.mode(), memory
        if noise is None:
            noise = self.heads.noise((len(obs),), generator, obs.device)
        return dist.sample(noise), memory
