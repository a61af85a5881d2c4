"""Finds races: within a phase, nobody may read or write what another index writes.

That rule is what lets the same phase run as a loop on a CPU and as a block of threads on a GPU, with no seat favoured.
Rules run here as ordinary Python on a record that notes accesses, so QUINTET_DEBUG=1 must be set. Noting is slow, so
only fields that a phase has been seen to write are watched; the others are read-only, and a write to one of them runs
the phase again with everything watched.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from envs.engine.driver import constants
from envs.engine.front import counted, front, refuse_from_the_end
from envs.engine.random import episode_key, seed_word
from envs.engine.records import by_attribute
from envs.engine.rules import DEBUG, Phase, World, arguments, param_records, phases, plain, real, record_dtype

Slot = tuple[Any, ...]

UNTOUCHED = -12345.0
"""In `terms` while `reset` runs."""


class Log:
    """Which slots each index of a phase read and wrote."""

    def __init__(self) -> None:
        self.reads: set[Slot] = set()
        self.writes: dict[Slot, None] = {}
        self._indices: list[tuple[set[Slot], dict[Slot, None]]] = []

    def next_index(self) -> None:
        """From here on the next index reads and writes."""
        self.reads, self.writes = set(), {}
        self._indices.append((self.reads, self.writes))

    def written(self) -> set[Slot]:
        """Every slot that was written."""
        return {slot for _, writes in self._indices for slot in writes}

    def conflicts(self) -> Iterator[str]:
        """One line for each slot that an index wrote and another touched."""
        written, touched = self.written(), {}
        if not written:
            return
        for index, (reads, writes) in enumerate(self._indices):
            for slot in (reads & written) | writes.keys():
                touched.setdefault(slot, []).append(index)
        for index, (_, writes) in enumerate(self._indices):
            for slot in writes:
                if others := [other for other in touched.pop(slot, ()) if other != index]:
                    name = ".".join(str(part) for part in slot)
                    yield f"{name} is written by index {index} and touched by index {others[0]}"


class WatchedArray:
    """An array whose element accesses are noted in a log."""

    def __init__(self, data: np.ndarray, log: Log, path: Slot) -> None:
        self.data, self.log, self.path = data, log, path

    def __getattr__(self, name: str) -> Any:
        return getattr(self.data, name)

    def _slot(self, key: Any) -> Slot:
        refuse_from_the_end(key)
        return (*self.path, *(key if isinstance(key, tuple) else (key,)))

    def __getitem__(self, key: Any) -> Any:
        slot, value = self._slot(key), self.data[key]
        if isinstance(value, np.ndarray):
            return WatchedArray(value, self.log, slot)
        self.log.reads.add(slot)
        return value

    def __setitem__(self, key: Any, value: Any) -> None:
        slot = self._slot(key)
        self.data[key] = value
        for extra in np.ndindex(self.data.shape[len(slot) - len(self.path) :]):
            self.log.writes[slot + extra] = None

    def __len__(self) -> int:
        return len(self.data)


class PlainState:
    """A record as a rule sees it, its fields held as attributes, which reads fast.

    Args:
        record: `[1]` records.
        writable: whether rules may write; where not, a write raises ValueError.
    """

    _record: np.ndarray
    _writable: bool

    def __init__(self, record: np.ndarray, writable: bool) -> None:
        fields = {name: record[name][0] for name in record.dtype.names or ()}
        fields |= {name: counted(value, writable) for name, value in fields.items() if isinstance(value, np.ndarray)}
        vars(self).update(fields, _record=record, _writable=writable)

    def __setattr__(self, name: str, value: Any) -> None:
        if not self._writable:
            raise ValueError(f"state.{name} is read-only")
        self._record[name] = value
        vars(self)[name] = self._record[name][0]


class WatchedState(PlainState):
    """A record whose watched fields note every access; the others are read-only.

    Args:
        record: `[1]` records.
        log: where accesses are noted.
        watched: names of fields.
    """

    def __init__(self, record: np.ndarray, log: Log, watched: Collection[str]) -> None:
        super().__init__(record, writable=False)
        vars(self).update(_log=log, _watched=watched)
        for name in watched:
            value = vars(self).pop(name)
            if isinstance(value, np.ndarray):
                vars(self)[name] = WatchedArray(record[name][0], log, ("state", name))

    def __getattr__(self, name: str) -> Any:
        if name not in self._watched:
            raise AttributeError(f"state has no field {name!r}")
        self._log.reads.add(("state", name))
        return self._record[name][0]

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._watched:
            raise ValueError(f"state.{name} is read-only")
        self._record[name] = value
        for extra in np.ndindex(self._record[name].shape[1:]):
            self._log.writes["state", name, *extra] = None


def find_races(world: World, num_ticks: int = 100, seed: int = 0, control: Sequence[int] | None = None) -> list[str]:
    """Plays random ticks with every phase watched.

    Args:
        world: the world to watch.
        num_ticks: ticks to play; episodes restart as they end.
        seed: of the game and of the actions.
        control: `[num_seats]`: who plays each seat, 0 random actions, 1.. a scripted level; by default drawn anew for
            each episode.

    Returns:
        One line a conflict: the rule, the slot and two indices. Also each slot that `observe` or `mask` writes in the
        state, which must stay as it is; `reset` writing `terms`; and what `reset` and `observe` leave unwritten, which
        must write everything. Empty where there are none.

    Raises:
        RuntimeError: not under QUINTET_DEBUG=1.
        ValueError: a control that doesn't fit the world.
    """
    if not DEBUG:
        raise RuntimeError("find_races watches rules as plain Python: set QUINTET_DEBUG=1 before importing envs")
    with np.errstate(over="ignore"):
        return list(dict.fromkeys(_Watch(world, seed, control).play(num_ticks)))


class _Watch:
    """A world of one, played phase by phase; each that could race is watched."""

    def __init__(self, world: World, seed: int, control: Sequence[int] | None) -> None:
        levels = world.scripted_levels
        if control is not None and (len(control) != world.num_seats or not all(0 <= one <= levels for one in control)):
            raise ValueError(f"control must give each of the {world.num_seats} seats 0..{levels}, got {control}")
        self.world, self.control, self.random = world, control, np.random.default_rng(seed)
        self.records = np.zeros(1, record_dtype(world))
        self.record = self.records.view(np.recarray)[0]
        self.record.seed, self.record.episode = seed_word(seed), -1
        params = param_records(world)
        self.params = front("params", params.view(np.recarray)[0])
        tables = constants(world)["Tables"](*by_attribute(world.tables.values())) if world.tables else ()
        self.tables = front("tables", tables)
        self.written: dict[tuple[str, int], set[str]] = defaultdict(set)
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
        record, levels = self.record, self.world.scripted_levels
        record.episode += 1
        record.tick = record.terminated = record.truncated = 0
        record.key = episode_key(record.seed, record.world, record.episode)
        drawn = self.random.integers(0, levels + 1, self.world.num_seats)
        record.control[:] = drawn if self.control is None else self.control
        if self.world.reward_terms:
            record.terms[:] = UNTOUCHED
        if record.episode == 0:
            yield from self.unwritten_by_reset()
        yield from self.run("reset")
        if self.world.reward_terms and (record.terms != UNTOUCHED).any():
            yield "reset writes state.terms; leave it to the engine, which sets it to zero before each tick"

    def advance(self) -> Iterator[str]:
        record = self.record
        record.tick += 1
        record.terminated = record.truncated = 0
        record.reward[:] = real(0)
        if self.world.reward_terms:
            record.terms[:] = real(0)
        for seat in range(self.world.num_seats):
            record.action[seat] = self.world.action_space.sample()
        yield from self.run("step")
        if 0 < self.params.max_episode_steps <= record.tick:
            record.truncated = 1

    def unwritten_by_reset(self) -> Iterator[str]:
        """What is not the same after resets of records that were all zeros, and all ones."""
        before, found = self.records.copy(), []
        own = [name for name in self.world.state.names or () if not (name == "terms" and self.world.reward_terms)]
        for filling in (0, 1):
            for name in own:
                self.records[name] = filling
            for phase in phases(self.world.reset):
                self.call(phase, PlainState(self.records, writable=True), {})
            found.append(self.records.copy())
            self.records[:] = before
        for name in own:
            if (found[0][name] != found[1][name]).any():
                places = np.argwhere(found[0][name][0] != found[1][name][0])
                at = f"[{', '.join(map(str, places[0]))}]" if places.shape[1] else ""
                yield f"reset does not write state.{name}{at}; what is there at first is of another episode"

    def show(self, seat: int) -> Iterator[str]:
        space, layout = self.world.observation_space, self.world.action_layout
        seen = [np.full(space.shape or (1,), filling, space.dtype) for filling in (0, 1)]
        for obs in seen[: 2 if self.record.tick == 1 else 1]:
            yield from self.run("observe", seat=seat, obs=obs)
        if self.record.tick == 1 and len(missing := np.argwhere(seen[0] != seen[1])):
            yield f"observe does not write obs[{', '.join(map(str, missing[0]))}], which is then any number"
        if self.world.mask is not None and layout is not None:
            yield from self.run("mask", seat=seat, mask=np.zeros(layout.num_columns, np.bool_))

    def run(self, part: str, **given: Any) -> Iterator[str]:
        """Runs the phases of a part, watching those where indices could meet and those that must be pure."""
        for position, phase in enumerate(phases(getattr(self.world, part))):
            if phase.extent * phase.parts == 1 and not given:
                self.call(phase, PlainState(self.records, writable=True), given)
                continue
            log, name = self.watch(phase, self.written[part, position], given), plain(phase.rule).__name__
            yield from (f"{part} rule {name}: {line}" for line in log.conflicts())
            if given:
                impure = sorted({slot[1] for slot in log.written() if slot[0] == "state"})
                yield from (f"{part} rule {name} writes state.{field}; it must be pure" for field in impure)

    def watch(self, phase: Phase, written: set[str], given: dict[str, Any]) -> Log:
        """Runs a phase with the fields in `written` watched; with all, and again, if it writes to another.

        Fields that it writes are added to `written`.
        """
        before = self.records.copy()
        kept = {name: value.copy() for name, value in given.items() if isinstance(value, np.ndarray)}
        try:
            return self.attempt(phase, written, given)
        except ValueError:
            self.records[:] = before
            for name, value in kept.items():
                given[name][...] = value
        log = self.attempt(phase, self.records.dtype.names or (), given)
        written |= {slot[1] for slot in log.written() if slot[0] == "state"}
        return log

    def attempt(self, phase: Phase, watched: Collection[str], given: dict[str, Any]) -> Log:
        """Runs a phase with some fields watched.

        Raises:
            ValueError: it writes to a field that isn't watched, or whatever it raises itself.
        """
        log, shared = Log(), phase.extent * phase.parts > 1
        outputs = {
            name: WatchedArray(value, log, (name,)) if shared and isinstance(value, np.ndarray) else front(name, value)
            for name, value in given.items()
        }
        self.call(phase, WatchedState(self.records, log, watched), outputs, log)
        return log

    def call(self, phase: Phase, state: PlainState, given: dict[str, Any], log: Log | None = None) -> None:
        """Calls a rule once for each index and part."""
        pool = {"state": state, "params": self.params, "tables": self.tables, **given}
        names = arguments(phase.rule)
        for pool["index"], pool["part"] in product(range(phase.extent), range(phase.parts)):
            if log is not None:
                log.next_index()
            phase.rule(**{name: pool[name] for name in names})
