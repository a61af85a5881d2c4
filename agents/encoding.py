"""How an environment's observations and action masks become tensors: once, at the collector's edge."""

import math
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space, iterate
from torch import Tensor

from agents.networks import is_image


class Encoder:
    """Turns a batch of observations of any Gymnasium space into one tensor `[num_envs, ...]`.

    Box stays a Box (floats become float32, uint8 images stay uint8). Discrete becomes int64 `[num_envs]`, any product
    of Discretes (MultiDiscrete, MultiBinary, Tuple or Dict of these) int64 `[num_envs, parts]`. Other Dicts and Tuples
    are flattened to float32 `[num_envs, features]`, in the order of `gymnasium.spaces.flatten`; the pixels of uint8
    images among them are divided by 255.

    Attributes:
        space: one observation's space after encoding: Box, Discrete or MultiDiscrete.
        shape, dtype: of one encoded observation.
    """

    def __init__(self, space: spaces.Space) -> None:
        self.raw_space = space
        self.space = encoded_space(space)
        self.shape = tuple(self.space.shape or ())
        self.dtype = torch.uint8 if self.space.dtype == np.uint8 else torch.float32
        if isinstance(self.space, spaces.Discrete | spaces.MultiDiscrete):
            size = self.space.n if isinstance(self.space, spaces.Discrete) else self.space.nvec
            start = np.asarray(self.space.start, np.int64)
            self.low, self.high = torch.as_tensor(start), torch.as_tensor(start + np.asarray(size, np.int64) - 1)
            self.dtype = torch.int64
        elif isinstance(space, spaces.Tuple | spaces.Dict):
            self.scales = _scales(space)

    def __call__(self, obs: Any) -> Tensor:
        """A batch as the vector env gave it -> tensor `[num_envs, *shape]` on the same device.

        Raises:
            ValueError: NumPy observations that are not finite, or beyond what a Discrete's space promises.
        """
        if isinstance(obs, Tensor):
            return obs.to(self.dtype)
        if isinstance(self.space, spaces.MultiDiscrete):
            obs = np.concatenate([part.reshape(len(part), -1) for part in _leaves(self.raw_space, obs)], axis=1)
        elif isinstance(self.raw_space, spaces.Tuple | spaces.Dict):
            obs = self._flattened(obs)
        return self._judged(torch.as_tensor(np.asarray(obs), dtype=self.dtype))

    def _judged(self, obs: Tensor) -> Tensor:
        if self.dtype == torch.float32 and not math.isfinite(obs.sum()):  # a sum may overflow where all is well
            wrong = ~obs.isfinite()
        elif isinstance(self.space, spaces.Discrete | spaces.MultiDiscrete) and obs.shape[1:] == self.shape:
            wrong = (obs < self.low) | (obs > self.high)
        else:
            return obs
        if wrong.any():
            first = obs[int(wrong.nonzero()[0, 0])]
            raise ValueError(f"it showed {_brief(first)}, which is not in {self.space}")
        return obs

    def rows(self, batch: Any, rows: Tensor) -> Tensor:
        """Some rows of a batch: a tensor, an array, an array of separate observations, or a dict or tuple of these."""
        if isinstance(batch, Tensor):
            return batch[rows.to(batch.device)].to(self.dtype)
        return self(_pick(batch, rows.cpu().numpy()))

    def _flattened(self, obs: Any) -> np.ndarray:
        num_envs = len(_leaves(self.raw_space, obs)[0])
        rows = iterate(batch_space(self.raw_space, num_envs), obs)
        return np.stack([np.asarray(spaces.flatten(self.raw_space, row)) for row in rows]) * self.scales


def _brief(obs: Tensor) -> str:
    """An observation in a few words."""
    text = str(obs.tolist())
    return text if len(text) < 60 else f"an observation of {int((~obs.isfinite()).sum())} numbers that are not finite"


def encoded_space(space: spaces.Space) -> spaces.Space:
    """The space of one observation after encoding.

    Raises:
        ValueError: a space without a fixed size (Text, Graph, Sequence), or of nothing.
    """
    if isinstance(space, spaces.Box):
        if space.dtype in (np.uint8, np.float32):
            return space
        with np.errstate(over="ignore"):  # what float32 can't hold is no bound
            return spaces.Box(space.low.astype(np.float32), space.high.astype(np.float32), dtype=np.float32)
    if isinstance(space, spaces.Discrete):
        return space
    parts = discrete_parts(space)
    if parts:
        sizes, firsts = zip(*parts, strict=True)
        return spaces.MultiDiscrete(np.array(sizes), start=np.array(firsts))
    if isinstance(space, spaces.Tuple | spaces.Dict) and _flattens(space) and spaces.flatdim(space):
        return spaces.Box(-np.inf, np.inf, (spaces.flatdim(space),), np.float32)
    raise ValueError(f"observations of {space} have no fixed size; wrap the env so that they are a Box or Discrete")


def _flattens(space: spaces.Space) -> bool:
    try:
        return space.is_np_flattenable
    except NotImplementedError:  # a space of somebody's own
        return False


def _scales(space: spaces.Space) -> np.ndarray:
    """What a flattened observation is multiplied by, float32 `[d]`: pixels come as 0..1, as networks of pictures take
    them."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return np.concatenate([_scales(part) for part in _subspaces(space)])
    return np.full(spaces.flatdim(space), 1 / 255 if is_image(space) else 1, np.float32)


def discrete_parts(space: spaces.Space) -> list[tuple[int, int]] | None:
    """(size, first value) of each Discrete that a space is a product of, in order; None if it is no such product."""
    if isinstance(space, spaces.Discrete):
        return [(int(space.n), int(space.start))]
    if isinstance(space, spaces.MultiDiscrete):
        return [(int(n), int(start)) for n, start in zip(space.nvec.ravel(), space.start.ravel(), strict=True)]
    if isinstance(space, spaces.MultiBinary):
        return [(2, 0)] * int(np.prod(space.shape))
    if isinstance(space, spaces.Tuple | spaces.Dict):
        found = [discrete_parts(part) for part in _subspaces(space)]
        return None if None in found else [pair for part in found for pair in part or ()]
    return None


def _subspaces(space: spaces.Tuple | spaces.Dict) -> list[spaces.Space]:
    return list(space.values() if isinstance(space, spaces.Dict) else space)


def _leaves(space: spaces.Space, obs: Any) -> list[np.ndarray]:
    """The arrays of a nested batch, in the space's order."""
    if isinstance(space, spaces.Dict):
        return [leaf for key, part in space.items() for leaf in _leaves(part, obs[key])]
    if isinstance(space, spaces.Tuple):
        return [leaf for part, one in zip(space, obs, strict=True) for leaf in _leaves(part, one)]
    return [np.asarray(obs)]


def _pick(batch: Any, rows: np.ndarray) -> Any:
    if isinstance(batch, dict):
        return {key: _pick(part, rows) for key, part in batch.items()}
    if isinstance(batch, tuple):
        return tuple(_pick(part, rows) for part in batch)
    return batch[rows] if batch.dtype != object else _stack([batch[row] for row in rows])


def _stack(several: list[Any]) -> Any:
    """Separate observations, one batch."""
    first = several[0]
    if isinstance(first, dict):
        return {key: _stack([one[key] for one in several]) for key in first}
    if isinstance(first, tuple):
        return tuple(_stack(list(parts)) for parts in zip(*several, strict=True))
    return np.stack([np.asarray(one) for one in several])


class Masks:
    """Finds the action masks of a vector env: `infos["action_mask"]`, or what its envs' `action_masks()` return.

    Args:
        envs: the vector env, reset.
        infos: of that reset.

    Attributes:
        num_columns: columns of a mask, or None where there are no masks.
    """

    def __init__(self, envs: Any, infos: dict[str, Any]) -> None:
        self.envs = envs
        self.by_method = "action_mask" not in infos and _has_mask_method(envs.unwrapped)
        first = self._found(infos)
        self.num_columns = None if first is None else first.shape[1]

    def __call__(self, infos: dict[str, Any], asked: np.ndarray | None = None) -> Tensor | None:
        """bool `[num_envs, M]`, or None where the envs have no masks.

        Args:
            infos: of a reset or step.
            asked: bool `[num_envs]`: of which envs these infos are; None: of all.

        Raises:
            ValueError: an env gave a mask before and does not now, or the other way round.
        """
        mask = self._found(infos, asked)
        if (mask is None) != (self.num_columns is None):
            first, now = ("", "not ") if mask is None else ("not ", "")
            raise ValueError(
                f'the env did {first}give infos["action_mask"] at its first reset and does {now}give it now; give it '
                "at every reset and step, or never"
            )
        return mask

    def final(self, infos: dict[str, Any], rows: Tensor) -> Tensor | None:
        """The last masks of rows int64 `[k]` that ended, bool `[k, M]`, all True where `infos` tell none."""
        if self.num_columns is None:
            return None
        legal = torch.ones(len(rows), self.num_columns, dtype=torch.bool)
        told = infos.get("final_info", {})
        if not self.by_method and isinstance(told.get("action_mask"), np.ndarray):
            given = np.asarray(told["_action_mask"], bool)[rows.numpy()]
            if given.any():
                legal[torch.tensor(given)] = _stacked(told["action_mask"][rows.numpy()[given]])
        return legal

    def _found(self, infos: dict[str, Any], asked: np.ndarray | None = None) -> Tensor | None:
        if self.by_method:
            return _stacked(self.envs.call("action_masks"))
        mask = infos.get("action_mask")
        if mask is None or isinstance(mask, Tensor):
            return mask
        if isinstance(mask, tuple):
            return torch.as_tensor(np.concatenate([np.asarray(part) for part in mask], axis=1).astype(np.bool_))
        given = np.broadcast_to(infos.get("_action_mask", True), len(mask))
        if (missing := ~given if asked is None else ~given & asked).any():
            raise ValueError(
                f'env {int(missing.argmax())} gave no infos["action_mask"], others did; give it at every reset and step'
            )
        return _stacked(mask) if given.all() else self._spread(mask, given)

    def _spread(self, mask: np.ndarray, given: np.ndarray) -> Tensor:
        """Masks of some envs among those of all; the others' allow nothing."""
        some = _stacked(mask[given])
        return torch.zeros(len(mask), some.shape[1], dtype=torch.bool).index_put_((torch.tensor(given),), some)


def _stacked(rows: Any) -> Tensor:
    """Masks of envs, arrays or tuples of arrays, as one tensor bool `[k, M]`."""
    return torch.as_tensor(np.stack([_flat(row) for row in rows]).astype(np.bool_))


def _flat(row: Any) -> np.ndarray:
    """One env's mask, an array or a tuple of arrays, as one array `[M]`."""
    return np.concatenate([np.ravel(part) for part in row]) if isinstance(row, tuple | list) else np.ravel(row)


def _has_mask_method(envs: Any) -> bool:
    if hasattr(envs, "envs"):
        return envs.envs[0].has_wrapper_attr("action_masks")
    if hasattr(envs, "env_fns"):  # asking a worker for what it lacks would end it
        one = envs.env_fns[0]()
        found = one.has_wrapper_attr("action_masks")
        one.close()
        return found
    return False
