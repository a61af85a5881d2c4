"""Action distributions: from a policy's outputs to actions, log-probabilities and entropies.

Noise is drawn apart from the choice (`Heads.noise`), so that a whole horizon's noise comes from one call to one
generator, and a choice is a pure function of outputs, mask and noise.
"""

import math
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

LOWEST = torch.finfo(torch.float32).min / 4
"""The logit of an illegal action: finite, so that 0 * log 0 is 0."""


class Heads(nn.Module):
    """Knows an action space: how many outputs a policy needs, and what distribution they mean.

    Args:
        action_space: Discrete, MultiDiscrete or a one-dimensional Box.
        layout: how a mask's columns divide (`sizes`, and `kinds`: for each later part the block of its mask that each
            choice of the first part uses, -1 for "not used"); by default the parts side by side.
        log_std: initial log standard deviation of Box actions, one learned number a dimension.
        by_kind: outputs divide as a mask's columns do, so that a later part's logits depend on the first choice's kind;
            else a later part has one set of logits, whatever the first choice.

    Attributes:
        num_outputs: outputs that `forward` takes.
        num_noise: random numbers a choice takes.
        num_columns: columns of a mask; Box actions have none.
        has_backward: whether there is a `backward`: where an action has one part.
        sizes: choices of each part.
        blocks: mask blocks of each later part.
    """

    def __init__(
        self, action_space: spaces.Space, layout: Any = None, log_std: float = 0.0, by_kind: bool = False
    ) -> None:
        super().__init__()
        self.is_box = isinstance(action_space, spaces.Box)
        self.by_kind = by_kind
        self.has_backward = self.is_box
        if self.is_box:
            self.num_outputs = self.num_noise = int(math.prod(action_space.shape or ()))
            self.log_std = nn.Parameter(torch.full((self.num_outputs,), float(log_std)))
        else:
            self.sizes, self.kinds = _parts(action_space, layout)
            self.has_backward = len(self.sizes) == 1
            self.blocks = tuple(max(kinds) + 1 for kinds in self.kinds)
            self.num_noise = sum(self.sizes)
            self.num_columns = self.sizes[0] + sum(
                count * size for count, size in zip(self.blocks, self.sizes[1:], strict=True)
            )
            self.num_outputs = self.num_columns if by_kind else self.num_noise
            self.scalar = isinstance(action_space, spaces.Discrete)
            for part, kinds in enumerate(self.kinds):
                self.register_buffer(f"kinds_{part}", torch.tensor(kinds), persistent=False)

    def forward(self, outputs: Tensor, mask: Tensor | None = None) -> "Gaussian | Categorical | Parts":
        """The distribution that `outputs` `[..., num_outputs]` mean, under a mask bool `[..., M]`."""
        if self.is_box:
            return Gaussian(outputs, self.log_std)
        if len(self.sizes) == 1:
            return Categorical(outputs, mask, squeeze=self.scalar)
        tables = [getattr(self, f"kinds_{part}") for part in range(len(self.kinds))]
        return Parts(outputs, mask, self.sizes, self.blocks, tables, self.by_kind)

    def backward(self, dist: Any, actions: Tensor, by_log_probs: Tensor, by_entropy: Tensor) -> Tensor:
        """The gradients of a loss, by hand: those w.r.t. the outputs `[B, num_outputs]`, given those w.r.t. the
        log-probabilities of actions and by the entropies, `[B]`. What is learned of Box actions has its `.grad` set."""
        if not self.is_box:
            return dist.grads(actions, by_log_probs, by_entropy)
        by_mean, self.log_std.grad[:] = dist.grads(actions, by_log_probs, by_entropy)  # pyright: ignore
        return by_mean

    def noise(self, shape: tuple[int, ...], generator: torch.Generator | None, device: torch.device | str) -> Tensor:
        """What choices are drawn from, `[*shape, num_noise]`: Gaussian for Box, Gumbel for discrete parts."""
        drawn = torch.empty(*shape, self.num_noise, device=device)
        if self.is_box:
            return drawn.normal_(generator=generator)
        return drawn.exponential_(generator=generator).log_().neg_()


def _parts(space: spaces.Space, layout: Any) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Sizes of the parts, and for each later part the mask block that each choice of the first uses."""
    if np.any(getattr(space, "start", 0)):
        raise ValueError(f"actions must count from 0, got {space}; wrap the env so that they do")
    if layout is not None:
        return tuple(layout.sizes), tuple(tuple(kinds) for kinds in layout.kinds)
    if isinstance(space, spaces.Discrete):
        return (int(space.n),), ()
    if isinstance(space, spaces.MultiDiscrete):
        sizes = tuple(int(n) for n in space.nvec.ravel())
        return sizes, tuple((0,) * sizes[0] for _ in sizes[1:])
    raise ValueError(f"no distribution for the action space {space}; Discrete, MultiDiscrete and Box have one")


class Gaussian:
    """Independent Gaussians, `[..., d]`, with a standard deviation that doesn't depend on the state."""

    def __init__(self, mean: Tensor, log_std: Tensor) -> None:
        self.mean, self.log_std = mean, log_std

    def sample(self, noise: Tensor) -> Tensor:
        """float32 `[..., d]`"""
        return torch.addcmul(self.mean, self.log_std.exp(), noise)

    def mode(self) -> Tensor:
        """float32 `[..., d]`"""
        return self.mean

    def log_prob(self, actions: Tensor) -> Tensor:
        """`[...]`"""
        scaled = (actions - self.mean) * (-self.log_std).exp()
        constant = self.log_std.sum() + 0.5 * math.log(2 * math.pi) * self.mean.shape[-1]
        return -0.5 * scaled.square().sum(-1) - constant

    def entropy(self) -> Tensor:
        """`[...]`"""
        total = (self.log_std + 0.5 * (1 + math.log(2 * math.pi))).sum()
        return total.expand(self.mean.shape[:-1])

    def grads(self, actions: Tensor, by_log_probs: Tensor, by_entropy: Tensor) -> tuple[Tensor, Tensor]:
        """A loss's gradients w.r.t. the mean `[B, d]` and the log standard deviations `[d]`, given those w.r.t.
        log-probabilities and entropies, `[B]`."""
        narrow, by_log_probs = (-self.log_std).exp(), by_log_probs.unsqueeze(-1)
        scaled = (actions - self.mean) * narrow
        by_log_std = (by_log_probs * (scaled.square() - 1)).sum(0) + by_entropy.sum()
        return by_log_probs * scaled * narrow, by_log_std


class Categorical:
    """One choice of n by logits `[..., n]`; illegal ones have probability 0.

    Args:
        squeeze: actions are `[...]`, else `[..., 1]`.
    """

    def __init__(self, logits: Tensor, mask: Tensor | None, squeeze: bool = True) -> None:
        self.logits = logits if mask is None else torch.where(mask, logits, LOWEST)
        self.mask, self.squeeze = mask, squeeze
        self._log_probs: Tensor | None = None
        self._entropy: Tensor | None = None

    @property
    def log_probs(self) -> Tensor:
        """`[..., n]`"""
        if self._log_probs is None:
            self._log_probs = self.logits.log_softmax(-1)
        return self._log_probs

    def _shaped(self, choice: Tensor) -> Tensor:
        return choice if self.squeeze else choice.unsqueeze(-1)

    def sample(self, noise: Tensor) -> Tensor:
        """int64: the Gumbel-max trick, exact, on noise `[..., n]`."""
        return self._shaped((self.logits + noise).argmax(-1))

    def mode(self) -> Tensor:
        """int64: the most probable."""
        return self._shaped(self.logits.argmax(-1))

    def _index(self, actions: Tensor) -> Tensor:
        return actions.unsqueeze(-1) if self.squeeze else actions

    def log_prob(self, actions: Tensor) -> Tensor:
        """`[...]`"""
        return self.log_probs.gather(-1, self._index(actions)).squeeze(-1)

    def entropy(self) -> Tensor:
        """`[...]`, over the legal choices."""
        if self._entropy is None:
            self._entropy = -(self.log_probs.exp() * self.log_probs).sum(-1)
        return self._entropy

    def grads(self, actions: Tensor, by_log_probs: Tensor, by_entropy: Tensor) -> Tensor:
        """A loss's gradients w.r.t. the logits `[B, n]`, given those w.r.t. log-probabilities and entropies, `[B]`."""
        by_log_probs, by_entropy = by_log_probs.unsqueeze(-1), by_entropy.unsqueeze(-1)
        probs, surprise = self.log_probs.exp(), self.log_probs + self.entropy().unsqueeze(-1)
        grads = probs * torch.addcmul(by_log_probs, by_entropy, surprise).neg_()
        grads.scatter_add_(-1, self._index(actions), by_log_probs)
        return grads if self.mask is None else grads.masked_fill_(~self.mask, 0)


class Parts:
    """A first choice (the verb) and later parts whose masks, and whether they count at all, depend on it.

    A part that the verb does not use is 0 in the action and drops out of log-probability and entropy.

    Args:
        outputs: logits of all parts, `[..., sum(sizes)]`; by kind `[..., M]`.
        mask: bool `[..., M]`: the verb's columns, then for each later part its blocks.
        sizes: choices of each part.
        blocks: blocks of each later part.
        kinds: for each later part int64 `[sizes[0]]`: the block that a verb uses, -1 for none.
        by_kind: whether `outputs` divide as the mask does.
    """

    def __init__(
        self, outputs: Tensor, mask: Tensor | None, sizes: tuple[int, ...], blocks: tuple[int, ...],
        kinds: list[Tensor], by_kind: bool = False,
    ) -> None:  # fmt: skip
        columns = [sizes[0], *(count * size for count, size in zip(blocks, sizes[1:], strict=True))]
        masks = [None] * len(sizes) if mask is None else list(mask.split(columns, dim=-1))
        logits = outputs.split(columns if by_kind else list(sizes), dim=-1)
        self.verb = Categorical(logits[0], masks[0])
        self.kinds, self.sizes, self.blocks = kinds, sizes, blocks
        self.logits, self.masks = logits[1:], masks[1:]

    def _given(self, part: int, kind: Tensor) -> Categorical:
        """A later part for each row's kind, int64 `[...]`."""
        mask, size = self.masks[part], self.sizes[part + 1]
        return Categorical(_block(self.logits[part], kind, size), None if mask is None else _block(mask, kind, size))

    def later(self, verbs: Tensor) -> list[tuple[Tensor, Categorical]]:
        """Each later part given the verbs `[...]`: whether it is used, and its distribution."""
        kinds = [table[verbs] for table in self.kinds]
        return [(kind >= 0, self._given(part, kind)) for part, kind in enumerate(kinds)]

    def sample(self, noise: Tensor) -> Tensor:
        """int64 `[..., parts]`"""
        pieces = noise.split(list(self.sizes), dim=-1)
        verbs = self.verb.sample(pieces[0])
        later = [part.sample(piece) * used for (used, part), piece in zip(self.later(verbs), pieces[1:], strict=True)]
        return torch.stack([verbs, *later], dim=-1)

    def mode(self) -> Tensor:
        """int64 `[..., parts]`: the most probable verb, then the most probable of each part given it."""
        verbs = self.verb.mode()
        return torch.stack([verbs, *(part.mode() * used for used, part in self.later(verbs))], dim=-1)

    def log_prob(self, actions: Tensor) -> Tensor:
        """`[...]`"""
        verbs = actions[..., 0]
        total = self.verb.log_prob(verbs)
        for part, (used, distribution) in enumerate(self.later(verbs), start=1):
            total = total + distribution.log_prob(actions[..., part]) * used
        return total

    def entropy(self) -> Tensor:
        """`[...]`, exact: of the verb, plus each part's expected one given the verb."""
        total = self.verb.entropy()
        verb_probs = self.verb.log_probs.exp()
        for part, table in enumerate(self.kinds):
            of_kind = torch.arange(self.blocks[part], device=table.device)
            weights = verb_probs @ (table.unsqueeze(-1) == of_kind).float()
            logits, mask = (
                None if x is None else x.unflatten(-1, (-1, self.sizes[part + 1]))
                for x in (self.logits[part], self.masks[part])
            )
            assert logits is not None
            total = total + (weights * Categorical(logits, mask).entropy()).sum(-1)
        return total


def _block(columns: Tensor, kind: Tensor, size: int) -> Tensor:
    """The block of each row's kind, `[..., size]` of `[..., blocks * size]`; the only one where there is one."""
    if columns.shape[-1] == size:
        return columns
    index = kind.clamp(min=0)[..., None, None].expand(*kind.shape, 1, size)
    return columns.unflatten(-1, (-1, size)).gather(-2, index).squeeze(-2)
