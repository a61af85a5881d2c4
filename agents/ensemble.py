"""Several policies as one: what they say of the actions is averaged."""

from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from agents.distributions import Categorical, Parts
from agents.outputs import outputs


class Ensemble:
    """Policies for the same spaces that act together; anything with `act` and `initial_memory` is a policy.

    The best action is that of the mean of the members' action probabilities (PPO) or of their action values (DQN,
    tables), and for a Box the mean of their actions within its bounds. An action is drawn from the mean of their
    distributions: a member is drawn for each row, and an action from it.

    Args:
        policies: members, each remembering what it would alone.
        action_space: of one env.

    Raises:
        ValueError: no members, or some that know probabilities and some that know values.
    """

    def __init__(self, policies: Sequence[Any], action_space: spaces.Space) -> None:
        if not policies:
            raise ValueError("an ensemble has at least one member, got none")
        self.policies, self.action_space = list(policies), action_space
        self.by_probabilities = [hasattr(policy, "heads") for policy in policies]
        if not isinstance(action_space, spaces.Box) and len(set(self.by_probabilities)) > 1:
            raise ValueError(
                "probabilities of actions (ppo) and values of actions (dqn, q) have no mean; give one kind"
            )
        self.sizes = [policy.initial_memory(1).shape[1] for policy in policies]

    def initial_memory(self, num_envs: int) -> Tensor:
        """The members' side by side, `[num_envs, m]`."""
        return torch.cat([policy.initial_memory(num_envs) for policy in self.policies], dim=1)

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
        """Actions `[N, ...]` and the next memory; arguments as of every policy."""
        members = list(zip(self.policies, memory.split(self.sizes, dim=1), strict=True))
        if deterministic:
            return self._best(members, obs, mask, starts)
        drawn = [p.act(obs, mask, own, starts, generator=generator) for p, own in members]
        actions = torch.stack([self._bounded(action) for action, _ in drawn])
        who = torch.randint(len(members), (len(obs),), generator=generator, device=obs.device)
        rows = torch.arange(len(obs), device=obs.device)
        return actions[who, rows], torch.cat([later for _, later in drawn], dim=1)

    def _best(
        self, members: list[tuple[Any, Tensor]], obs: Tensor, mask: Tensor | None, starts: Tensor
    ) -> tuple[Tensor, Tensor]:
        if self.by_probabilities[0] and not isinstance(self.action_space, spaces.Box):
            said = [policy.step(obs, mask, own, starts) for policy, own in members]
            return most_probable([one[0] for one in said]), torch.cat([one[2] for one in said], dim=1)
        found = [outputs(policy, obs, mask, own, starts) for policy, own in members]
        later = [one.get("next_memory", own) for one, (_, own) in zip(found, members, strict=True)]
        if isinstance(self.action_space, spaces.Box):
            actions = torch.stack([self._bounded(one["action"]) for one in found]).mean(dim=0)
        else:
            values = torch.stack([one["values"] for one in found]).mean(dim=0)
            actions = values.argmax(dim=-1) + self.policies[0].first_action
        return actions, torch.cat(later, dim=1)

    def _bounded(self, actions: Tensor) -> Tensor:
        """Within a Box's bounds, as the collector gives them to the env."""
        if not isinstance(self.action_space, spaces.Box):
            return actions
        low, high = (torch.as_tensor(bound).to(actions) for bound in (self.action_space.low, self.action_space.high))
        return actions.clamp(low, high)


def most_probable(distributions: list[Any]) -> Tensor:
    """The mode of the mean of distributions of discrete actions: int64 `[N, ...]`.

    Of actions in parts it is the likeliest first choice, then the likeliest of each part given it.
    """
    first = distributions[0]
    if not isinstance(first, Parts):
        mean = torch.stack([one.log_probs.exp() for one in distributions]).mean(dim=0)
        return Categorical(mean.log(), None, first.squeeze).mode()
    of_verbs = torch.stack([one.verb.log_probs.exp() for one in distributions])
    verbs = of_verbs.mean(dim=0).argmax(dim=-1)
    weights = of_verbs.gather(-1, verbs.expand(len(distributions), -1).unsqueeze(-1))
    chosen = [verbs]
    for parts in zip(*(one.later(verbs) for one in distributions), strict=True):
        joint = torch.stack([part.log_probs.exp() for _, part in parts]) * weights
        chosen.append(joint.sum(dim=0).argmax(dim=-1) * parts[0][0])
    return torch.stack(chosen, dim=-1)
