"""Finds races: within a phase, nobody may read or write what another index writes.

That rule is what lets the same phase run as a loop on a CPU and as a block of threads on a GPU, with no seat favoured.
Rules run here as ordinary Python on a record that notes every access, so QUINTET_DEBUG=1 must be set.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from envs.engine.driver import constants
from envs.engine.random import episode_key, seed_word
from envs.engine.rules import DEBUG, World, arguments, param_records, phases, plain, real, record_dtype

Slot = tuple[Any, ...]


class Log:
    """Who (an index) read and wrote which slot since the last `clear`."""

    def __init__(self) -> None:
        self.index = 0
        self.clear()

    def clear(self) -> None:
        """Forgets everything."""
        self.readers: dict[Slot, set[int]] = defaultdict(set)
        self.writers: dict[Slot, set[int]] = defaultdict(set)

    def conflicts(self) -> Iterator[str]:
        """One line for each slot that an index wrote and another touched."""
        for slot, writers in self.writers.items():
            if others := (self.readers[slot] | writers) - {min(writers)}:
                name = ".".join(str(part) for part in slot)
                yield f"{name} is written by index {min(writers)} and touched by index {min(others)}"


class Recorded:
    """A record or an array whose element accesses are noted in a log."""

    def __init__(self, data: Any, log: Log, path: Slot = ()) -> None:
        object.__setattr__(self, "_data", data)
        object.__setattr__(self, "_log", log)
        object.__setattr__(self, "_path", path)

    def _read(self, value: Any, path: Slot) -> Any:
        if isinstance(value, np.ndarray) and value.ndim:
            return Recorded(value, self._log, path)
        self._log.readers[path].add(self._log.index)
        return value

    def _wrote(self, value: Any, path: Slot) -> None:
        for extra in np.ndindex(np.shape(value)):
            self._log.writers[path + extra].add(self._log.index)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._data, name)
        return value if callable(value) or name in ("shape", "size", "ndim") else self._read(value, (*self._path, name))

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._data, name, value)
        self._wrote(getattr(self._data, name), (*self._path, name))

    def _slot(self, key: Any) -> Slot:
        keys = key if isinstance(key, tuple) else (key,)
        sizes = self._data.shape
        return (*self._path, *(range(size)[int(k)] for k, size in zip(keys, sizes, strict=False)))

    def __getitem__(self, key: Any) -> Any:
        return self._read(self._data[key], self._slot(key))

    def __setitem__(self, key: Any, value: Any) -> None:
        slot = self._slot(key)
        self._data[key] = value
        self._wrote(self._data[key], slot)

    def __len__(self) -> int:
        return len(self._data)


def find_races(world: World, num_ticks: int = 100, seed: int = 0) -> list[str]:
    """Plays random ticks with every phase watched.

    Args:
        world: the world to watch; scripted seats play where it has them.
        num_ticks: ticks to play; episodes restart as they end.
        seed: of the game and of the actions.

    Returns:
        One line a conflict: the rule, the slot and two indices. Also each slot that `observe` or `mask` writes in the
        state, which must stay as it is. Empty where there are none.
    """
    if not DEBUG:
        raise RuntimeError("find_races watches rules as plain Python: set QUINTET_DEBUG=1 before importing envs")
    with np.errstate(over="ignore"):
        return list(dict.fromkeys(_Watch(world, seed).play(num_ticks)))


class _Watch:
    """A world of one, played phase by phase through a recorded state."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.log, self.random = world, Log(), np.random.default_rng(seed)
        self.record = np.zeros(1, record_dtype(world)).view(np.recarray)[0]
        self.record.seed, self.record.episode = seed_word(seed), -1
        self.params = param_records(world).view(np.recarray)[0]
        self.tables = constants(world)["Tables"](*world.tables.values()) if world.tables else ()
        world.action_space.seed(seed)

    def play(self, num_ticks: int) -> Iterator[str]:
        yield from self.begin()
        for _ in range(num_ticks):
            yield from self.advance()
            for seat in range(self.world.num_seats):
                yield from self.show(seat)
            if self.record.terminated or self.record.truncated:
                yield from self.begin()

    def begin(self) -> Iterator[str]:
        record = self.record
        record.episode += 1
        record.tick = record.terminated = record.truncated = 0
        record.key = episode_key(record.seed, record.world, record.episode)
        record.control[:] = self.random.integers(0, self.world.scripted_levels + 1, self.world.num_seats)
        yield from self.run("reset")

    def advance(self) -> Iterator[str]:
        record = self.record
        record.tick += 1
        record.terminated = record.truncated = 0
        record.reward[:] = real(0)
        for seat in range(self.world.num_seats):
            record.action[seat] = self.world.action_space.sample()
        yield from self.run("step")
        if 0 < self.params.max_episode_steps <= record.tick:
            record.truncated = 1

    def show(self, seat: int) -> Iterator[str]:
        space = self.world.observation_space
        obs = Recorded(np.zeros(space.shape or (1,), space.dtype), self.log, ("obs",))
        yield from self.run("observe", seat=seat, obs=obs)
        if self.world.mask is not None and self.world.action_layout is not None:
            mask = Recorded(np.zeros(self.world.action_layout.num_columns, np.bool_), self.log, ("mask",))
            yield from self.run("mask", seat=seat, mask=mask)

    def run(self, part: str, **given: Any) -> Iterator[str]:
        """Runs the phases of a part, watching each."""
        pool = {
            "state": Recorded(self.record, self.log, ("state",)),
            "params": self.params,
            "tables": self.tables,
            **given,
        }
        for function, extent in phases(getattr(self.world, part)):
            self.log.clear()
            for index in range(extent):
                self.log.index = index
                function(**{name: pool.get(name, index) for name in arguments(function)})
            rule_name = plain(function).__name__
            yield from (f"{part} rule {rule_name}: {line}" for line in self.log.conflicts())
            if given:
                impure = sorted({slot[1] for slot in self.log.writers if slot[0] == "state"})
                yield from (f"{part} rule {rule_name} writes state.{name}; it must be pure" for name in impure)
