"""The batched environment: many worlds in one array of records, torch tensors in and out."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from envs.engine import compile as compiler
from envs.engine.driver import CUT_ONLY, DISABLED, NEXT_STEP, RESET, SAME_STEP, constants
from envs.engine.records import Records
from envs.engine.rules import DEBUG, World
from envs.engine.threads import share_out

MODES = {
    AutoresetMode.NEXT_STEP: NEXT_STEP,
    AutoresetMode.SAME_STEP: SAME_STEP,
    AutoresetMode.DISABLED: DISABLED,
}
BYTES_PER_THREAD = 1 << 16
"""Records of fewer bytes than this a thread, and one thread is faster than waking the others."""

RESULTS = ("obs", "rewards", "terminated", "truncated", "action_mask")
AT_ENDS = ("final_obs", "returns", "lengths", "statistics")
"""What a step tells of episodes that ended."""
KEPT_VIEWS = 4096
NO_STATISTICS = np.zeros((0, 0), np.float32)

Seeds = int | Sequence[int] | None
Out = Mapping[str, torch.Tensor]


class WorldVectorEnv(gymnasium.vector.VectorEnv):
    """`num_worlds` copies of a world, stepped together; a row of the batch is a seat of a world.

    World i with seed s plays the same game whatever the batch size, the number of threads or the device: randomness
    is a function of (seed, world index, episode, tick, stream). That is not Gymnasium's `seed + i`.

    Attributes:
        num_envs: rows, `num_worlds * num_seats`, the seats of a world side by side.
        num_worlds, num_seats, seats: the worlds, the caller's seats of each, and which these are.
        first_world: the index of the first: a batch may be a part of a larger one.
        device: where the tensors are.
        params: the rows of tunables `[R]` as a NumPy recarray; world i reads row `state.param[i]`.
        tables: the world's flat arrays by name.
        action_layout: how an action mask divides, or None where the world has no masks.
        obs_layout: name -> slice, shape, kind, units and scale of the observation, or None.
    """

    _wrap: Callable[[np.ndarray], Any] = staticmethod(torch.from_numpy)
    device = torch.device("cpu")

    def __init__(
        self,
        world: World,
        num_worlds: int,
        *,
        seed: int = 0,
        seats: str | Sequence[int] | None = None,
        first_world: int = 0,
        num_threads: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        render_mode: str | None = None,
    ) -> None:
        if num_worlds < 1:
            raise ValueError(f"num_worlds must be at least 1, got {num_worlds}")
        if first_world < 0:
            raise ValueError(f"first_world must be at least 0, got {first_world}")
        self.world = world
        self.render_mode = render_mode
        self.num_worlds, self.first_world = num_worlds, first_world
        self.seats = _seats(world, seats)
        self.num_seats = len(self.seats)
        if self.num_seats < world.num_seats and not world.scripted_levels:
            absent = sorted(set(range(world.num_seats)) - set(self.seats))
            raise ValueError(
                f"{world.name} has no scripted players for the seats {absent}; take all, by envs.make_vec or PettingZoo"
            )
        self.num_envs = num_worlds * self.num_seats
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {
            "autoreset_mode": self.autoreset_mode,
            "render_modes": ["human", "rgb_array"],
            "render_fps": world.render_fps,
        }
        self.single_observation_space = copy.deepcopy(world.observation_space)  # each env's draws are its own
        self.single_action_space = copy.deepcopy(world.action_space)
        self.observation_space = batch_space(world.observation_space, self.num_envs)
        self.action_space = batch_space(world.action_space, self.num_envs)
        self.action_layout = world.action_layout if world.mask is not None else None
        self.obs_layout = world.obs_layout
        self._mode = MODES[self.autoreset_mode]
        self._canvas: Any = None
        self._unused: tuple[np.ndarray, ...] | None = None
        self._kept_views: dict[int, tuple[Any, tuple[Any, ...], Any]] = {}
        self._records = Records(world, num_worlds, self.seats, seed, first_world, self.device)
        self.params = self._records.params
        self.tables = dict(zip(world.tables, self._records.tables, strict=True))
        self._shapes()
        self._compile()
        self.set_threads(torch.get_num_threads() if num_threads is None else num_threads)

    def _compile(self) -> None:
        """Readies what steps the worlds."""
        self._kernels = compiler.kernels(self.world)
        self._fixed = (*self._records.arrays, np.asarray(self.seats, np.int32))

    @property
    def state(self) -> np.recarray:
        """The records `[num_worlds]`; on a CPU in the worlds' own memory, from a GPU a copy."""
        return self._records.pull()

    def _shapes(self) -> None:
        """What each step's arrays look like."""
        world, rows = self.world, self.num_envs
        columns = self.action_layout.num_columns if self.action_layout else 0
        self._mask_shape = (rows if columns else 0, columns)
        self._obs_shape = (rows, *(world.observation_space.shape or ()))
        self._final_shape = self._obs_shape if self._mode == SAME_STEP else (0, *self._obs_shape[1:])
        self._obs_dtype = np.dtype(world.observation_space.dtype)
        self._action_dtype = np.dtype(np.float32 if isinstance(world.action_space, spaces.Box) else np.int64)
        self._num_parts = int(np.prod(world.action_space.shape or (1,)))
        self._no_mask = np.empty((0, 0), np.bool_)
        self._nothing = (
            np.empty((0, self._num_parts), self._action_dtype),
            np.empty(0, np.bool_),
            np.empty(0, np.float32),
        )
        self._statistics_shape = (rows, len(world.statistics))
        flags = ((rows,), np.bool_)
        self._asked = {
            "obs": (self._obs_shape, self._obs_dtype), "rewards": ((rows,), np.float32), "terminated": flags,
            "truncated": flags, "action_mask": (self._mask_shape, np.bool_),
            "final_obs": (self._final_shape, self._obs_dtype), "returns": ((rows,), np.float32),
            "lengths": ((rows,), np.int64), "statistics": (self._statistics_shape, np.float32),
        }  # fmt: skip

    def set_threads(self, num_threads: int) -> None:
        """How many threads step the worlds; results don't depend on it."""
        if num_threads < 1:
            raise ValueError(f"num_threads must be at least 1, got {num_threads}")
        self.num_threads = num_threads
        enough = self._records.state.nbytes >= BYTES_PER_THREAD * num_threads and self.num_worlds >= num_threads
        self._parallel = not DEBUG and num_threads > 1 and enough

    def reset(self, *, seed: Seeds = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts the next episode of every world, or episode 0 of a new seed.

        Args:
            seed: an int for all, or one a world (each then plays as world 0 of its own seed).
            options: {"reset_mask": bool `[num_envs]`} resets only the worlds of those rows.

        Returns:
            observations `[num_envs, ...]` and infos, with "action_mask" where the world has masks.
        """
        selected = self._selected(options or {})
        if seed is not None and not selected.all():
            raise ValueError("a seed starts all worlds anew, so it can't go with a reset_mask; give one of them")
        if seed is not None:
            self._records.reseed(seed)
        if not (self._records.begun or selected.all()):
            raise ResetNeeded("some worlds have not begun: reset all before a reset_mask")
        self._records.mark(selected)
        return self.observe()

    def _selected(self, options: dict[str, Any]) -> np.ndarray:
        if unknown := sorted(set(options) - {"reset_mask"}):
            raise ValueError(f"reset options {unknown} are unknown; the one there is: 'reset_mask'")
        if "reset_mask" not in options:
            return np.ones(self.num_worlds, np.bool_)
        rows = np.asarray(options["reset_mask"], np.bool_)
        if rows.shape != (self.num_envs,):
            raise ValueError(f"reset_mask must be [{self.num_envs}], got {list(rows.shape)}")
        rows = rows.reshape(self.num_worlds, self.num_seats)
        if (rows.any(axis=1) != rows.all(axis=1)).any():
            raise ValueError("reset_mask splits a world: its seats are reset together")
        return rows[:, 0].copy()

    def step(self, actions: Any, out: Out | None = None) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One step of every world: `frame_skip` ticks with the same actions, fewer where an episode ends.

        Args:
            actions: `[num_envs]` or `[num_envs, parts]`, integers or float32 (clipped to the space's bounds), of any
                strides.
            out: contiguous tensors "obs", "rewards", "terminated", "truncated" and, where there are masks,
                "action_mask", to write in place; without it the results are fresh. Also "returns", "lengths" and
                "statistics", zero where no episode ended, and, under SAME_STEP, "final_obs", into which only episodes
                that were cut off (truncated, not terminated) write their last observation.

        Returns:
            obs `[num_envs, ...]`, rewards float32 `[num_envs]`, terminated and truncated bool `[num_envs]`, infos:
            "action_mask" bool `[num_envs, M]` where the world has masks; where a row ended, "episode" {"r", "l"} and
            the world's statistics by name, float32 `[num_envs]` (zero elsewhere), with "_episode", and under
            SAME_STEP "final_obs" `[num_envs, ...]` (zero elsewhere) with "_final_obs".

        Raises:
            ValueError: an action outside the space, or tensors of another shape; no world has stepped then.
            ResetNeeded: no episode is under way.
        """
        if not self._records.begun:
            raise ResetNeeded("no episode is under way: call reset() before step()")
        *results, final_obs, returns, lengths, statistics = self._fresh() if out is None else self._given(out)
        mode = self._mode if out is None or "final_obs" not in out else CUT_ONLY
        num_ended = self._run(mode, self._actions(actions), *results, final_obs, returns, lengths, statistics)
        if num_ended < 0:
            raise ValueError(self._bad_action(-1 - num_ended, actions))
        wrap = self._wrap
        obs, rewards, terminated, truncated, mask = results
        if out is None:
            given = wrap(obs), wrap(rewards), wrap(terminated), wrap(truncated)
            infos = self._mask_info(mask)
        else:
            given = out["obs"], out["rewards"], out["terminated"], out["truncated"]
            infos = {"action_mask": out["action_mask"]} if self.action_layout else {}
        if num_ended:
            self._unused = None  # handed out
            ended = wrap(terminated | truncated)
            episode = {"r": wrap(returns), "l": wrap(lengths)}
            if self.world.statistics:
                episode |= self._by_name(self.world.statistics, statistics)
            infos |= {"episode": episode, "_episode": ended}
            if self._mode == SAME_STEP:
                infos |= {"final_obs": wrap(final_obs), "_final_obs": ended}
        return *given, infos  # pyright: ignore[reportReturnType]

    def _fresh(self) -> tuple[np.ndarray, ...]:
        """New arrays for a step, in the order of `RESULTS`, then of `AT_ENDS`."""
        rows, empty = self.num_envs, np.empty
        return (
            empty(self._obs_shape, self._obs_dtype),
            empty(rows, np.float32),
            empty(rows, np.bool_),
            empty(rows, np.bool_),
            empty(self._mask_shape, np.bool_) if self.action_layout else self._no_mask,
            *self._at_ends(),
        )

    def _given(self, out: Out) -> tuple[np.ndarray, ...]:
        """`_fresh`, but with the arrays in `out`."""
        views = self._views(out)
        results, (final_obs, *told) = views[: len(RESULTS)], views[len(RESULTS) :]
        for view in told:
            if view is not None:
                view.fill(0)
        pairs = zip((final_obs, *told), self._at_ends(), strict=True)
        return *results, *(unused if view is None else view for view, unused in pairs)

    def _at_ends(self) -> tuple[np.ndarray, ...]:
        """Zeros in the order of `AT_ENDS`, which serve until an episode ends: to clear them each step takes long."""
        if self._unused is None:
            self._unused = (
                np.zeros(self._final_shape, self._obs_dtype),
                np.zeros(self.num_envs, np.float32),
                np.zeros(self.num_envs, np.int64),
                np.zeros(self._statistics_shape, np.float32) if self.world.statistics else NO_STATISTICS,
            )
        return self._unused

    def _run(self, mode: int, actions: np.ndarray, *results: np.ndarray) -> int:
        """Steps all worlds; returns the rows that ended, or -1 - row of a bad action, with nothing stepped."""
        bad = self._kernels.first_bad_action(actions)
        if bad >= 0:
            return -1 - bad
        if not self._parallel:
            return self._kernels.drive(0, self.num_worlds, *self._fixed, mode, actions, *results)

        def part(first: int, last: int) -> int:
            return self._kernels.drive(first, last, *self._fixed, mode, actions, *results)

        return share_out(part, self.num_worlds, self.num_threads)

    def _actions(self, actions: Any) -> np.ndarray:
        array = actions.numpy() if isinstance(actions, torch.Tensor) else np.asarray(actions)
        if array.dtype != self._action_dtype:
            if self._action_dtype == np.int64 and array.dtype.kind not in "iub":
                raise ValueError(f"actions must be integers for {self.single_action_space}, got {array.dtype}")
            array = array.astype(self._action_dtype)
        if array.shape != self.action_space.shape:
            raise ValueError(f"actions must be {list(self.action_space.shape or ())}, got {list(array.shape)}")
        if not array.flags.carray:
            array = array.copy()  # of other arrays the kernels would be compiled anew
        return array.reshape(self.num_envs, self._num_parts)

    def _bad_action(self, row: int, actions: Any) -> str:
        value = np.asarray(actions)[row].tolist()
        return f"actions[{row}] = {value} is not in {self.single_action_space}; no world has stepped"

    def _empty_obs(self) -> np.ndarray:
        return np.empty(self._obs_shape, self._obs_dtype)

    def _views(self, out: Out) -> tuple[Any, ...]:
        """Arrays over the tensors of `out`, in the order of `RESULTS`, then of `AT_ENDS`, None for those not in it.

        They are kept for when the same dict comes a third time, as a collector's rows do.
        """
        kept, tensors, views = self._kept_views.get(id(out), (None, (), ()))
        given = tuple(map(id, out.values()))
        if kept is out and tensors == given:
            return views
        if wrong := sorted(set(out) - {*RESULTS, *AT_ENDS}):
            raise ValueError(f"out has {wrong}; what can be written is {', '.join((*RESULTS, *AT_ENDS))}")
        views = [self._view(out, name) if name in RESULTS or name in out else None for name in (*RESULTS, *AT_ENDS)]
        if len(self._kept_views) >= KEPT_VIEWS:
            self._kept_views.clear()
        self._kept_views[id(out)] = out if tensors == given else None, given, tuple(views if tensors == given else ())
        return tuple(views)

    def _view(self, out: Out, name: str) -> Any:
        if name == "action_mask" and not self.action_layout:
            return self._no_mask
        if name not in out:
            raise ValueError(f"out lacks {name!r}; it needs {', '.join(RESULTS[: 4 + bool(self.action_layout)])}")
        tensor, (shape, dtype) = out[name], self._asked[name]
        if tensor.shape != shape or tensor.dtype != torch_type(dtype) or not tensor.is_contiguous():
            given = f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
            raise ValueError(f"out[{name!r}] must be contiguous {np.dtype(dtype)} {list(shape)}, got {given}")
        return self._array(tensor)

    @staticmethod
    def _array(tensor: torch.Tensor) -> Any:
        """A tensor's memory as the kernels take it."""
        return tensor.numpy()

    def _mask_info(self, mask: np.ndarray) -> dict[str, Any]:
        return {"action_mask": self._wrap(mask)} if self.action_layout else {}

    def observe(self) -> tuple[Any, dict[str, Any]]:
        """The observations `[num_envs, ...]` and masks of the worlds as they are."""
        obs, mask = self._empty_obs(), np.empty(self._mask_shape, np.bool_)
        self._show(obs, mask)
        return self._wrap(obs), self._mask_info(mask)

    def _show(self, obs: np.ndarray, mask: np.ndarray) -> None:
        """Starts the worlds that are marked and observes all."""
        none, flags, floats = self._nothing
        unused = none, obs, floats, flags, flags, mask, obs[:0], floats, np.zeros(0, np.int64), NO_STATISTICS
        self._kernels.drive(0, self.num_worlds, *self._fixed, RESET, *unused)

    def reward_terms(self) -> dict[str, Any]:
        """What the rewards of the last step are made of: float32 `[num_envs]` by the names in `world.reward_terms`.

        Fresh tensors; zero after `reset` and where a step began no tick. Empty where the world has no terms.
        """
        if not self.world.reward_terms:
            return {}
        terms = self.state["terms"][:, list(self.seats)].reshape(self.num_envs, -1)
        return self._by_name(self.world.reward_terms, terms)

    def _by_name(self, names: Sequence[str], rows: np.ndarray) -> dict[str, Any]:
        """The columns of `rows` `[num_envs, n]`, each float32 of its own."""
        columns = np.array(rows.T, np.float32, order="C")
        return {name: self._wrap(column) for name, column in zip(names, columns, strict=True)}

    def save_state(self) -> dict[str, Any]:
        """A copy of every world: {"records": uint8, "params": uint8, "layout": a hash of what the bytes mean}."""
        return self._records.save()

    def load_state(self, saved: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Puts back what `save_state` gave and observes it anew.

        Raises:
            ValueError: another world's layout, another number of worlds, or records that fail the world's `validate`;
                the worlds are as they were.
        """
        self._records.load(saved)
        return self.observe()

    def set_params(self, **values: Any) -> None:
        """Changes tunables in place: a scalar for all rows of `params`, or a sequence of R.

        Raises:
            ValueError: a name that isn't there, or values the world can't be played with; nothing has changed then.
        """
        self._records.set_params(**values)

    def set_control(self, control: Any) -> None:
        """Who plays each seat from the next episode on; at once in worlds whose episode has not begun.

        The observations and masks that the caller holds stay as they are.

        Args:
            control: ints `[world.num_seats]` or `[num_worlds, world.num_seats]`: 0 the caller, 1.. a scripted level.

        Raises:
            ValueError: a level that the world doesn't have, or a seat left to a caller who has no row for it.
        """
        self._records.set_control(control)

    @property
    def action_masks(self) -> Callable[[], np.ndarray]:
        """Gives the current masks, bool `[num_envs, sum of the parts' sizes]`, as sb3-contrib calls for them.

        Raises:
            AttributeError: the world has no masks, so that `hasattr` says so.
        """
        layout = self.action_layout
        if layout is None:
            raise AttributeError(f"{self.world.name} has no action masks")
        return lambda: np.concatenate(layout.parts(self._host(self.observe()[1]["action_mask"])), axis=-1)

    @staticmethod
    def _host(values: Any) -> np.ndarray:
        return values.cpu().numpy() if isinstance(values, torch.Tensor) else values

    def render(self) -> tuple[np.ndarray, ...] | None:
        """One uint8 `[height, width, 3]` picture a world ("rgb_array"); in "human" mode shows world 0."""
        if self.render_mode is None and self.world.draw is not None:
            raise ValueError('nothing to render: make the env with render_mode="rgb_array" or "human"')
        if self.render_mode == "human":
            self.draw(0)
            return None
        return tuple(self.draw(index) for index in range(self.num_worlds))

    def draw(self, index: int) -> np.ndarray:
        """Paints one world; returns uint8 `[height, width, 3]`."""
        if self.world.draw is None:
            raise ValueError(f"{self.world.name} has no draw function, so it can't be rendered")
        if self._canvas is None:
            from envs.engine.canvas import Canvas

            window = self.world.name if self.render_mode == "human" else None
            self._canvas = Canvas(self.world.draw_size, window=window, fps=self.world.render_fps)
        record = self.state[index]
        tables = constants(self.world)["Tables"](*self._records.tables) if self.world.tables else ()
        self.world.draw(self._canvas, record, self.params[record.param], tables)
        self._canvas.show()
        return self._canvas.pixels()

    def __deepcopy__(self, memo: dict[int, Any]) -> "WorldVectorEnv":
        """A batch that goes on from the same state, with memory of its own."""
        device: dict[str, Any] = {"device": self.device} if self.device.type != "cpu" else {}
        other = type(self)(
            self.world, self.num_worlds, seats=self.seats, first_world=self.first_world, num_threads=self.num_threads,
            autoreset_mode=self.autoreset_mode, render_mode=self.render_mode, **device,
        )  # fmt: skip
        other._records.take_over(self._records)
        return other

    def __reduce__(self) -> Any:
        raise TypeError(
            f"a batch of {self.world.name} can't be pickled, its rules are code; make another one and give it "
            "load_state(save_state())"
        )

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the window, if there is one."""
        if self._canvas is not None:
            self._canvas.close()
            self._canvas = None


class NumpyVectorEnv(WorldVectorEnv):
    """The same, NumPy in and out: what `gymnasium.make_vec` gives.

    `infos["episode"]` is there already: a `RecordEpisodeStatistics` of Gymnasium's is to have another `stats_key`.
    """

    _wrap = staticmethod(np.asarray)


def torch_type(dtype: Any) -> torch.dtype:
    """Torch's name of a NumPy type."""
    return torch.from_numpy(np.zeros(0, dtype)).dtype


def _seats(world: World, seats: str | Sequence[int] | None) -> tuple[int, ...]:
    if seats is None or seats == "all":
        return tuple(range(world.num_seats))
    if seats == "team":
        return tuple(range((world.num_seats + 1) // 2))
    if isinstance(seats, str):
        raise ValueError(f'seats must be "all", "team" or seat numbers, got {seats!r}')
    chosen = tuple(int(seat) for seat in seats)
    if not chosen or len(set(chosen)) != len(chosen) or not set(chosen) <= set(range(world.num_seats)):
        raise ValueError(f"seats must be different numbers of 0..{world.num_seats - 1}, got {chosen}")
    return chosen


def make_numpy(num_envs: int, world: str, render_mode: str | None = None, **options: Any) -> NumpyVectorEnv:
    """The vector entry point of every registered world; one seat, so that a row is an env."""
    from envs.registration import load_world, split_options

    batch_options, world_options = split_options(options)
    seats = one_seat(batch_options.pop("seats", (0,)))
    return NumpyVectorEnv(
        load_world(world, **world_options), num_envs, seats=seats, render_mode=render_mode, **batch_options
    )


def one_seat(seats: Any) -> Sequence[int]:
    """Checks that `seats` names one seat, which is all that Gymnasium's own faces can carry."""
    if not isinstance(seats, list | tuple | range) or len(seats) != 1:
        raise ValueError(
            f"gymnasium.make and gymnasium.make_vec take one seat, as in seats=(0,), got {seats!r}; use envs.make_vec"
        )
    return seats
