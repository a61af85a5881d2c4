"""The batched environment on a GPU: records, rules and results stay there, and a step only queues work."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium.error import ResetNeeded

from envs.engine import cuda
from envs.engine.driver import CUT_ONLY, RESET, SAME_STEP
from envs.engine.rules import World, param_records
from envs.engine.vector import AT_ENDS, RESULTS, Out, WorldVectorEnv, torch_type


class CudaVectorEnv(WorldVectorEnv):
    """`num_worlds` copies of a world on a GPU, a kernel a step; games are those of the CPU, byte by byte.

    It differs from `WorldVectorEnv` where the host would have to wait for the GPU: `infos` hold "episode", "final_obs"
    and the rest after every step, zero where no episode ended; and a step that is given `out` reports an action
    outside the space only when `check_actions` is called, the world having taken the nearest one inside.
    """

    def __init__(self, world: World, num_worlds: int, *, device: str | torch.device = "cuda", **options: Any) -> None:
        cuda.require()
        self.device = cuda.select(torch.device(device))
        super().__init__(world, num_worlds, **options)

    def _compile(self) -> None:
        world, device = self.world, self.device
        self._kernel = cuda.Kernel(world, self.num_worlds)
        dtypes = self._records.state.dtype, param_records(world).dtype
        kept = [cuda.array(buffer, dtype) for buffer, dtype in zip(self._records.buffers, dtypes, strict=True)]
        kept += [cuda.table(table, device) for table in world.tables.values()]
        self._problem = torch.zeros(1, dtype=torch.int32, device=device)
        seats = torch.tensor(self.seats, dtype=torch.int32, device=device)
        self._seat_numbers = seats.long()
        self._fixed = (*kept, cuda.array(seats))
        self._no_mask = cuda.array(torch.zeros(0, 0, dtype=torch.bool, device=device))
        self._no_actions = torch.zeros(self.num_envs, self._num_parts, dtype=self._action_type(), device=device)
        self._last = {name: self._empty(name) for name in AT_ENDS}
        self._last_views = {name: self._view(self._last, name) for name in AT_ENDS}

    def _action_type(self) -> torch.dtype:
        return torch.float32 if self._action_dtype == np.float32 else torch.int64

    def _empty(self, name: str) -> torch.Tensor:
        """A tensor for one of the results."""
        shape, dtype = self._asked[name]
        return torch.zeros(shape, dtype=torch_type(dtype), device=self.device)

    _array = staticmethod(cuda.array)

    def step(self, actions: Any, out: Out | None = None) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One step of every world; see `WorldVectorEnv.step`.

        Args:
            actions: tensors on the device.
            out: also "final_obs", "returns", "lengths" and "statistics", where they are to be kept; else they are
                written over by the next step that is given an `out`.
        """
        if not self._records.begun:
            raise ResetNeeded("no episode is under way: call reset() before step()")
        chosen = self._actions(actions)
        given = self._last | dict(out) if out is not None else self._fresh_tensors()
        views = self._by_result(given if out is None else out)
        mode = CUT_ONLY if out is not None and "final_obs" in out else self._mode
        self._drive(mode, chosen, self._last_views | views)
        if out is None:
            self.check_actions()
        return self._results(given)

    def _by_result(self, out: Out) -> dict[str, Any]:
        pairs = zip((*RESULTS, *AT_ENDS), self._views(out), strict=True)
        return {name: view for name, view in pairs if view is not None}

    def _fresh_tensors(self) -> dict[str, torch.Tensor]:
        return {name: self._empty(name) for name in (*RESULTS, *AT_ENDS)}

    def _results(self, given: Mapping[str, torch.Tensor]) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        obs, rewards, terminated, truncated = (given[name] for name in RESULTS[:4])
        ended = terminated | truncated
        columns = given["statistics"].unbind(1) if self.world.statistics else ()
        episode = {"r": given["returns"], "l": given["lengths"]}
        infos: dict[str, Any] = {"episode": episode | dict(zip(self.world.statistics, columns, strict=True))}
        infos["_episode"] = ended
        if self.action_layout:
            infos["action_mask"] = given["action_mask"]
        if self._mode == SAME_STEP:
            infos |= {"final_obs": given["final_obs"], "_final_obs": ended}
        return obs, rewards, terminated, truncated, infos

    def _drive(self, mode: int, actions: torch.Tensor, views: Mapping[str, Any]) -> None:
        results = (views[name] for name in (*RESULTS, *AT_ENDS))
        self._kernel(*self._fixed, np.int32(mode), self._array(self._problem), self._array(actions), *results)

    def _actions(self, actions: Any) -> torch.Tensor:
        if not isinstance(actions, torch.Tensor):
            actions = torch.as_tensor(np.asarray(actions))
        actions = actions.to(self.device)
        if not actions.dtype.is_floating_point or self._action_dtype == np.float32:
            actions = actions.to(self._action_type())
        else:
            raise ValueError(f"actions must be integers for {self.single_action_space}, got {actions.dtype}")
        if actions.shape != self.action_space.shape:
            raise ValueError(f"actions must be {list(self.action_space.shape or ())}, got {list(actions.shape)}")
        return actions.reshape(self.num_envs, self._num_parts).contiguous()

    def check_actions(self) -> None:
        """Waits for the steps so far.

        Raises:
            ValueError: an action of theirs lay outside the space; worlds took the nearest inside.
        """
        if found := int(self._problem):
            self._problem.zero_()
            row, space = self.num_envs - found, self.single_action_space
            raise ValueError(f"actions[{row}] was not in {space}; its world took the nearest that is")

    def observe(self) -> tuple[Any, dict[str, Any]]:
        """The observations `[num_envs, ...]` and masks of the worlds as they are."""
        given = self._fresh_tensors()
        self._drive(RESET, self._no_actions, self._by_result(given))
        return given["obs"], {"action_mask": given["action_mask"]} if self.action_layout else {}

    def reward_terms(self) -> dict[str, Any]:
        """What the rewards of the last step are made of; see `WorldVectorEnv.reward_terms`."""
        if not self.world.reward_terms:
            return {}
        terms = self._records.field("terms")[:, self._seat_numbers].flatten(0, 1).float()
        return {name: column.clone() for name, column in zip(self.world.reward_terms, terms.unbind(1), strict=True)}
