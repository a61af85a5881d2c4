"""How an environment's observations become tensors: once, at the collector's edge."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector.utils import iterate
from torch import Tensor


class Encoder:
    """Turns a batch of observations of any Gymnasium space into one tensor `[num_envs, ...]`.

    Box stays a Box (floats become float32, uint8 images stay uint8). Discrete becomes int64 `[num_envs]`, any product
    of Discretes (MultiDiscrete, MultiBinary, Tuple or Dict of these) int64 `[num_envs, parts]`. Other Dicts and Tuples
    are flattened to float32 `[num_envs, features]`, in the order of `gymnasium.spaces.flatten`.

    Attributes:
        space: one observation's space after encoding: Box, Discrete or MultiDiscrete.
        shape, dtype: of one encoded observation.
    """

    def __init__(self, space: spaces.Space) -> None:
        self.raw_space = space
        self.space = encoded_space(space)
        self.shape = tuple(self.space.shape or ())
        self.dtype = {"f": torch.float32, "u": torch.uint8}.get(np.dtype(self.space.dtype).kind, torch.int64)

    def __call__(self, obs: Any) -> Tensor:
        """A batch as the vector env gave it -> tensor `[num_envs, *shape]` on the same device."""
        if isinstance(obs, Tensor):
            return obs.to(self.dtype)
        if isinstance(self.raw_space, spaces.Tuple | spaces.Dict):
            obs = self._flattened(obs)
        return torch.as_tensor(np.asarray(obs), dtype=self.dtype)

    def _flattened(self, obs: Any) -> np.ndarray:
        parts = list(obs.values() if isinstance(obs, dict) else obs)
        if isinstance(self.space, spaces.MultiDiscrete) and all(np.ndim(part) <= 2 for part in parts):
            return np.concatenate([np.asarray(part).reshape(len(part), -1) for part in parts], axis=1)
        rows = iterate(_batched(self.raw_space, len(_leaf(obs))), obs)
        return np.stack([spaces.flatten(self.raw_space, row) for row in rows])


def encoded_space(space: spaces.Space) -> spaces.Space:
    """The space of one observation after encoding.

    Raises:
        ValueError: a space without a fixed size (Text, Graph, Sequence).
    """
    if isinstance(space, spaces.Box):
        dtype = space.dtype if space.dtype == np.uint8 else np.float32
        return space if space.dtype == dtype else spaces.Box(-np.inf, np.inf, space.shape, np.float32)
    if isinstance(space, spaces.Discrete):
        return space
    sizes = _discrete_sizes(space)
    if sizes is not None:
        return spaces.MultiDiscrete(np.asarray(sizes))
    if isinstance(space, spaces.Tuple | spaces.Dict) and space.is_np_flattenable:
        return spaces.Box(-np.inf, np.inf, (spaces.flatdim(space),), np.float32)
    raise ValueError(f"observations of {space} have no fixed size; wrap the env so that they are a Box or Discrete")


def _discrete_sizes(space: spaces.Space) -> list[int] | None:
    """Sizes of a product of Discretes that all count from 0, or None."""
    if isinstance(space, spaces.Discrete):
        return [int(space.n)]
    if isinstance(space, spaces.MultiDiscrete):
        return [int(n) for n in space.nvec.ravel()]
    if isinstance(space, spaces.MultiBinary):
        return [2] * int(np.prod(space.shape))
    if isinstance(space, spaces.Tuple | spaces.Dict):
        parts = [_discrete_sizes(part) for part in (space.values() if isinstance(space, spaces.Dict) else space)]
        return None if None in parts else [size for part in parts for size in part or ()]
    return None


def _batched(space: spaces.Space, num_envs: int) -> spaces.Space:
    from gymnasium.vector.utils import batch_space

    return batch_space(space, num_envs)


def _leaf(obs: Any) -> Any:
    """The first array in a nested batch."""
    while isinstance(obs, dict | tuple):
        obs = next(iter(obs.values() if isinstance(obs, dict) else obs))
    return obs
