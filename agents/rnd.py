"""Random network distillation (Burda et al., arXiv 1810.12894): a bonus for what was seldom seen.

One network learns to tell what another, random and frozen, makes of an observation; where it errs, it has seen little.
The bonus is added to the reward. Unlike in the paper one value serves both, so that the bonus, too, ends with an
episode.
"""

from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agents import distributed
from agents.networks import MLP, Features, copied
from agents.normalize import RewardScale, RunningNorm
from agents.optimizer import FlatAdam
from agents.rollout import Rollout


class Embedding(nn.Module):
    """Encoded observations `[B, *shape]` -> `[B, size]`.

    Args:
        space: of one encoded observation.
        sizes: widths of the layers behind the features, the last that of the embedding.
    """

    def __init__(self, space: spaces.Space, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.features = Features(space)
        self.body = MLP((self.features.num_features, *sizes), "relu")

    def forward(self, obs: Tensor, norm: RunningNorm | None) -> Tensor:
        """`[B, size]`; `norm` is of the features."""
        seen = self.features(obs)
        return self.body(seen if norm is None else norm(seen))


class Novelty:
    """The bonus for what a rollout's steps led to; made under a seeded global generator.

    Args:
        space: of one encoded observation. Images pass through convolutions, all else is standardised, within +-5.
        num_envs: rows N.
        gamma: discount a step of the sum, over episodes' ends, by whose standard deviation the bonus is divided.
        learning_rate: of the network that learns.
        minibatch_size: steps it learns from at once; it sees each step of a rollout once.
        device: where.
    """

    def __init__(
        self, space: spaces.Space, num_envs: int, gamma: float, *, learning_rate: float = 1e-3,
        minibatch_size: int = 256, device: str = "cpu",
    ) -> None:  # fmt: skip
        self.target = Embedding(space, (64, 64)).requires_grad_(False).to(device)
        self.learner = Embedding(space, (64, 64, 64)).to(device)
        features = self.learner.features
        self.norm = None if features.convolutions else RunningNorm((features.num_features,), clip=5.0).to(device)
        self.scale = RewardScale(num_envs, gamma).to(device)
        self.optimizer = FlatAdam([self.learner], learning_rate)
        self.minibatch_size = minibatch_size

    def __call__(self, rollout: Rollout, generator: torch.Generator) -> Tensor:
        """The bonus of each step, `[T, N]`; then learns from the valid ones."""
        seen, valid = rollout.next_obs().flatten(0, 1), rollout.valid.flatten()
        with torch.no_grad():
            if self.norm is not None:
                self.norm.update(self.learner.features(seen), valid)
            errors = self.errors(seen)
        self.learn(seen[valid], generator)
        never = torch.zeros_like(rollout.valid)
        return self.scale(errors.view_as(rollout.rewards), never, rollout.valid)

    def errors(self, obs: Tensor) -> Tensor:
        """Mean squared error of what is told of each observation, `[B]`."""
        return (self.learner(obs, self.norm) - self.target(obs, self.norm)).square().mean(-1)

    @torch.enable_grad()
    def learn(self, obs: Tensor, generator: torch.Generator) -> None:
        """One pass over observations `[B, *shape]`, in minibatches of all ranks' together."""
        order = torch.randperm(len(obs), generator=generator, device=obs.device)
        parts = -(-distributed.total(len(obs)) // self.minibatch_size)
        for rows in order.tensor_split(parts) if parts else ():
            self.optimizer.zero_grad()
            self.errors(obs[rows]).mean().backward()
            distributed.average_gradients(self.optimizer.grad, len(rows))
            self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Networks, statistics and moments."""
        saved = {name: copied(module) for name, module in self._modules().items()}
        return saved | {"optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave."""
        for name, module in self._modules().items():
            module.load_state_dict(saved[name])
        self.optimizer.load_state_dict(saved["optimizer"])

    def _modules(self) -> dict[str, nn.Module]:
        modules = {"target": self.target, "learner": self.learner, "scale": self.scale, "norm": self.norm}
        return {name: module for name, module in modules.items() if module is not None}
