"""The worlds' memory: one contiguous array of records, one of tunables, and what may be written into them."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from envs.engine.driver import MARKED
from envs.engine.random import seed_word
from envs.engine.rules import DEBUG, World, param_records, record_dtype


def by_attribute(tables: Iterable[np.ndarray]) -> tuple[np.ndarray, ...]:
    """The tables as Python reads them: rows of structured ones have their fields as attributes, as in compiled code."""
    return tuple(table.view(np.recarray) if table.dtype.names else table for table in tables)


class Records:
    """`num_worlds` records of a world and its rows of tunables, each one torch buffer.

    The worlds are number `first_world` and on of their seed.

    Attributes:
        state: the records `[num_worlds]`, a NumPy recarray over their bytes; on a GPU over a copy, true after `pull`.
        params: the tunables `[R]`, likewise; world i reads row `state.param[i]`.
        buffers: uint8: the bytes of the records and of the tunables, where the worlds are.
        arrays: what every kernel on the CPU takes first: the records, the tunables, the tables.
        begun: whether every world is in an episode.
    """

    def __init__(
        self,
        world: World,
        num_worlds: int,
        seats: Sequence[int],
        seed: int,
        first_world: int = 0,
        device: torch.device | None = None,
    ) -> None:
        self.world, self.num_worlds, self.seats = world, num_worlds, seats
        self.indices = np.arange(first_world, first_world + num_worlds)
        dtype, params = record_dtype(world), param_records(world)
        self._state_bytes = torch.zeros(num_worlds * dtype.itemsize, dtype=torch.uint8)
        self._param_bytes = torch.from_numpy(params.view(np.uint8).reshape(-1).copy())
        state, params = self._state_bytes.numpy().view(dtype), self._param_bytes.numpy().view(params.dtype)
        self.state, self.params = state.view(np.recarray), params.view(np.recarray)
        tables = tuple(np.array(table, order="C") for table in world.tables.values())  # rules could write into them
        self.tables = by_attribute(tables)
        self.arrays = (self.state, self.params, *self.tables) if DEBUG else (state, params, *tables)
        self.layout = hashlib.sha256(repr((world.name, dtype.descr, params.dtype.descr)).encode()).hexdigest()[:16]
        self.on_host = device is None or device.type == "cpu"
        self.buffers = [each if self.on_host else each.to(device) for each in (self._state_bytes, self._param_bytes)]
        state["param"] = self.indices % len(params)
        caller = np.isin(np.arange(world.num_seats), seats)
        state["next_control"] = np.where(caller, 0, world.scripted or min(1, world.scripted_levels))
        self.reseed(seed)

    def pull(self) -> np.recarray:
        """The records as they are now, `state`."""
        if not self.on_host:
            self._state_bytes.copy_(self.buffers[0])
        return self.state

    def push(self) -> None:
        """Hands what was written into `state` and `params` to the worlds on a GPU."""
        if not self.on_host:
            for buffer, host in zip(self.buffers, (self._state_bytes, self._param_bytes), strict=True):
                buffer.copy_(host)

    def field(self, name: str) -> torch.Tensor:
        """A field of all records, `[num_worlds, ...]`, in the worlds' own memory."""
        fields: Any = self.state.dtype.fields
        dtype, offset = fields[name][:2]
        base, shape = dtype.base, dtype.shape
        columns = self.buffers[0].view(self.num_worlds, -1)[:, offset : offset + dtype.itemsize]
        values = columns.view(torch.from_numpy(np.zeros(0, base)).dtype)
        return values.view(self.num_worlds, *shape)

    def reseed(self, seed: int | Sequence[int]) -> None:
        """Puts every world before episode 0 of the seed, or of its own.

        Raises:
            ValueError: a negative seed, or not one a world.
        """
        self.pull()
        if isinstance(seed, int | np.integer):
            self.state["seed"], self.state["world"] = seed_word(int(seed)), self.indices
        elif len(seed) != self.num_worlds:
            raise ValueError(f"seeds: got {len(seed)} for {self.num_worlds} worlds; give one int or one a world")
        else:
            self.state["seed"], self.state["world"] = [seed_word(int(one)) for one in seed], 0
        self.state["episode"] = -1
        self.begun = False
        self.push()

    def mark(self, selected: np.ndarray) -> None:
        """Has the worlds of a bool `[num_worlds]` begin their next episode when they are shown."""
        self.field("ended")[torch.as_tensor(selected, device=self.buffers[0].device)] = MARKED
        self.begun = True

    def save(self) -> dict[str, Any]:
        """A copy of all bytes, and a hash of what they mean."""
        self.pull()
        return {"records": self._state_bytes.clone(), "params": self._param_bytes.clone(), "layout": self.layout}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Puts back what `save` gave.

        Raises:
            ValueError: another layout, another number of worlds, or records that can't be played; nothing has changed
                then.
        """
        if saved["layout"] != self.layout:
            raise ValueError(
                f"the saved state has layout {saved['layout']}, {self.world.name} has {self.layout}: it comes from "
                "another world, other rules or another version"
            )
        records, params = saved["records"], saved["params"]
        if records.shape != self._state_bytes.shape or params.shape != self._param_bytes.shape:
            size = self.state.dtype.itemsize
            raise ValueError(f"the saved state holds {records.numel() // size} worlds, this env has {self.num_worlds}")
        self._validate(records.numpy().view(self.state.dtype), params.numpy().view(self.params.dtype))
        self._state_bytes.copy_(records)
        self._param_bytes.copy_(params)
        self.begun = bool((self.state["episode"] >= 0).all())
        self.push()

    def take_over(self, other: "Records") -> None:
        """Becomes what records of the same world are."""
        for own, theirs in zip(self.buffers, other.buffers, strict=True):
            own.copy_(theirs)
        self.pull()
        self._param_bytes.copy_(self.buffers[1])
        self.begun = other.begun

    def _validate(self, state: np.ndarray, params: np.ndarray) -> None:
        """An index out of range in compiled code could write anywhere."""
        levels = self.world.scripted_levels
        for name, high in {"param": len(params) - 1, "control": levels, "next_control": levels}.items():
            if state[name].min() < 0 or state[name].max() > high:
                raise ValueError(f"the saved state has {name} outside 0..{high}; it is damaged")
        absent = sorted(set(range(self.world.num_seats)) - set(self.seats))
        if levels and (state["next_control"][:, absent] == 0).any():
            raise ValueError(
                f"in the saved state the caller plays some of the seats {absent}, of which this env has no rows; make "
                "it with the seats that it was saved with"
            )
        for name in self.world.fixed:
            if (params[name] != self.params[name][0]).any():
                raise ValueError(f"params.{name} is fixed when a world is built; it can't be changed")
        if self.world.validate is not None:
            self.world.validate(state, params)

    def set_params(self, **values: Any) -> None:
        """Changes tunables in place: a scalar for all rows, or a sequence of R.

        Raises:
            ValueError: a name that isn't there, or values the world can't be played with; nothing has changed then.
        """
        names = self.params.dtype.names or ()
        changed = np.array(self.params)
        for name, value in values.items():
            if name not in names:
                raise ValueError(f"{self.world.name} has no param {name!r}; it has {', '.join(names)}")
            if name == "frame_skip":
                raise ValueError("frame_skip is an option of the world; make another one to change it")
            changed[name] = value
        self._validate(np.asarray(self.state), changed)  # from a GPU as last seen: to fetch all would take long
        self.params[...] = changed
        if not self.on_host:
            self.buffers[1].copy_(self._param_bytes)

    def set_control(self, control: Any) -> None:
        """Who plays each seat; see `WorldVectorEnv.set_control`."""
        levels = self.world.scripted_levels
        control = np.broadcast_to(np.asarray(control, np.int32), self.state["next_control"].shape)
        if control.min() < 0 or control.max() > levels:
            raise ValueError(f"control must be 0..{levels}, got {control.min()}..{control.max()}")
        absent = sorted(set(range(self.world.num_seats)) - set(self.seats))
        if levels and (control[:, absent] == 0).any():
            raise ValueError(f"seats {absent} have no row of the caller's, so control there must be a scripted level")
        chosen = torch.tensor(control, device=self.buffers[0].device)
        self.field("next_control").copy_(chosen)
        now = self.field("control")
        now.copy_(torch.where(self.field("tick").unsqueeze(1) == 0, chosen, now))
