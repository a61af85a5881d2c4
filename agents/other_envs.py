"""Vector envs that don't write into a rollout's rows themselves: what they give is held to their spaces, and copied.

That is every Gymnasium vector env but worlds on the learner's own device.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agents.encoding import Encoder, Masks


class EnvError(Exception):
    """An environment raised an error in the middle, or gave what can't be learned from; its own error is the cause."""


class Diverged(Exception):
    """What is learned is no finite number any more."""


class OtherEnvs:
    """Steps such envs for a collector.

    Args:
        envs: of tensors, where they have a `device` and speak so, else of NumPy.
        encoder: how their observations become tensors.
        device: of the rollouts.

    Attributes:
        masks: what finds their action masks; from the first reset on.
        over: bool `[N]` on the host: whose episode ended in the last step; None for envs of tensors.
    """

    masks: Masks

    def __init__(self, envs: Any, encoder: Encoder, device: torch.device) -> None:
        self.envs, self.encoder, self.device = envs, encoder, device
        self.action_space = envs.single_action_space
        self.speak_torch = getattr(envs, "device", None) is not None
        self.over: Tensor | None = None
        self._pinned: dict[str, Tensor] = {}

    def reset(self, seed: int) -> tuple[Any, dict[str, Any]]:
        """What the envs' `reset` gives.

        Raises:
            EnvError: it failed; of envs of tensors, their own error.
        """
        try:
            obs, infos = self.envs.reset(seed=seed)
            self.speak_torch = self.speak_torch and (takes_out(self.envs) or isinstance(obs, Tensor))
            self.masks = Masks(self.envs, infos)
            return obs, infos
        except Exception as error:
            if self.speak_torch:
                raise
            raise self.broken("reset", error) from error

    def broken(self, what: str, error: Exception) -> EnvError:
        """For envs whose `what` failed."""
        text = f"its {what} failed with {type(error).__name__}: {error}"
        if "array" in str(error):  # Gymnasium's batches put what the envs give into arrays
            text += f"; rewards must be numbers, and observations {self.encoder.raw_space}"
        return EnvError(text)

    def send(self, actions: Tensor) -> Callable[[], Tensor]:
        """Starts to bring actions from a GPU to envs on the host; the result waits for them."""
        if self.speak_torch or actions.device.type != "cuda":
            return lambda: actions
        here = self._staged("actions", actions)
        here.copy_(actions, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record(torch.cuda.current_stream(actions.device))

        def received() -> Tensor:
            arrived.synchronize()
            return here

        return received

    def _staged(self, name: str, like: Tensor) -> Tensor:
        """Pinned memory on the host for values like these, from which, or to which, a GPU copies by itself.

        There is one for each name: whoever fills it again has waited for actions, which came after the copy before.
        """
        if name not in self._pinned or self._pinned[name].shape != like.shape:
            self._pinned[name] = torch.empty(like.shape, dtype=like.dtype, pin_memory=True)
        return self._pinned[name]

    def step(self, actions: Tensor, out: dict[str, Tensor]) -> dict[str, Any]:
        """Steps the envs, copies what they give into `out` and returns their infos.

        Raises:
            EnvError: it failed, or gave what the spaces don't promise.
            ValueError: actions of a Box that are no finite numbers.
        """
        given = self._to_envs(actions)
        try:
            obs, rewards, terminated, truncated, infos = self.envs.step(given)
            found = {"obs": self.encoder(obs), "rewards": rewards, "terminated": terminated, "truncated": truncated}
            mask = self.masks(infos)
        except Exception as error:
            raise self.broken("step", error) from error
        for name, values in (found if mask is None else found | {"action_mask": mask}).items():
            values = torch.as_tensor(values)
            if values.shape != out[name].shape:
                given, due = tuple(values.shape), tuple(out[name].shape)
                raise EnvError(f"its step gave {name} of shape {given} where its spaces promise {due}")
            if self.device.type == "cuda" and not self.speak_torch:
                values = self._staged(name, out[name]).copy_(values)
            out[name].copy_(values, non_blocking=True)
        if not self.speak_torch:
            self.over = torch.as_tensor(np.logical_or(terminated, truncated))
        return infos

    def last_seen(self, infos: dict[str, Any], rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """The last observations and masks of rows whose episode ended.

        Raises:
            EnvError: they are not what the spaces promise.
        """
        try:
            obs, mask = last_seen(self, infos, rows)
        except Exception as error:
            raise self.broken("step", error) from error
        if obs.shape[1:] != self.encoder.shape:
            given = tuple(obs.shape[1:])
            raise EnvError(f"its last observation has shape {given} where its space promises {self.encoder.shape}")
        return obs, mask

    def _to_envs(self, actions: Tensor) -> Any:
        """Actions as the envs take them: tensors where they speak torch, else NumPy, within a Box's bounds, whole
        numbers where it holds such."""
        if self.speak_torch:
            return actions.to(self.envs.device)
        array = actions.cpu().numpy()
        if isinstance(self.action_space, spaces.Box):
            if not np.isfinite(array).all():
                raise ValueError("actions must be finite numbers")
            array = np.clip(array, self.action_space.low, self.action_space.high)
            if self.action_space.dtype.kind in "iu":  # pyright: ignore
                array = np.rint(array)
        return array.astype(self.action_space.dtype, copy=False)


def last_seen(owner: Any, infos: dict[str, Any], rows: Tensor) -> tuple[Tensor, Tensor | None]:
    """What `infos` hold of the last observations and masks of some rows, by an owner's `encoder` and `masks`."""
    return owner.encoder.rows(infos["final_obs"], rows), owner.masks.final(infos, rows)


def takes_out(envs: Any) -> bool:
    """Whether `step` can be told where its results go."""
    return "out" in inspect.signature(envs.step).parameters
