"""A hero of the arena by mouse and keys: clicks give orders that last, keys cast at whoever is nearest the mouse."""

import heapq
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from experiments.human import Hands
from experiments.pictures import Painter

TOUCH = 1.2
"""Cells from a click within which a unit is meant."""
LEAP = 3.0
"""Cells that nobody walks in a step."""
NEAR = 0.75
"""Steps of its own from its goal at which a hero stands still."""
LOOK_AHEAD = 2
KEYS = "click: walk or attack · Q W E R: cast at the mouse · A: attack the nearest · B: recall · V: ward · S: stop"
HOME_RECALL, WALK, FIGHT, IDLE = "recall", "walk", "fight", "idle"


class Order(NamedTuple):
    """What the hero goes on doing."""

    what: str = IDLE
    place: tuple[float, float] = (0.0, 0.0)
    unit: int = -1


class Sight(NamedTuple):
    """What an order is carried out by: a world's record and constants, a seat, and its mask in parts."""

    state: Any
    params: Any
    cells: np.ndarray
    seat: int
    verbs: np.ndarray
    """bool `[verbs]`"""
    rows: np.ndarray
    """bool `[1 + abilities, rows]`: targets legal for attacks and for each ability."""
    directions: np.ndarray
    """bool `[8]`"""

    @property
    def team(self) -> int:
        """0 or 1."""
        return int(self.seat >= int(self.params.team_size))

    @property
    def me(self) -> int:
        """The hero's slot."""
        size = int(self.params.team_size)
        return self.seat if self.seat < size else self.seat + int(self.params.team_units) - size

    @property
    def targets(self) -> np.ndarray:
        """The slots in the rows of the hero's table."""
        return np.asarray(self.state.row[self.seat])

    def at(self, unit: int) -> tuple[float, float]:
        """Where a unit stands."""
        return float(self.state.x[unit]), float(self.state.y[unit])


def is_arena(envs: Any) -> bool:
    """Whether a batch is of worlds with the arena's rules."""
    return {"slot_kind", "team_units"} <= set(envs.params.dtype.names or ()) and "facing_x" in envs.state.dtype.names


class HeroPilot:
    """Keeps the order between steps."""

    keys = KEYS
    fps, frames = 24, 3

    def __init__(self, envs: Any, seat: int) -> None:
        self.envs, self.seat, self.order = envs, seat, Order()
        self.look = 1 + int(seat >= int(envs.params.team_size[0]))

    def sight(self, state: Any, mask: np.ndarray) -> Sight:
        """The parts of a mask row `[M]`."""
        verbs, rows, directions = self.envs.action_layout.sizes
        params, cells = self.envs.params[state.param], self.envs.world.tables["cells"]
        blocks = mask[verbs : len(mask) - directions].reshape(-1, rows)
        return Sight(state, params, cells, self.seat, mask[:verbs], blocks, mask[len(mask) - directions :])

    def act(self, hands: Hands, state: Any, mask: np.ndarray | None) -> np.ndarray | None:
        """(verb, row, direction); it never waits."""
        assert mask is not None
        sight = self.sight(state, mask)
        action, self.order = decide(hands, self.order, sight)
        return action

    def between(self, before: Any, after: Any, frame: int) -> Any:
        """The later record, with those who walk still on their way; those who leap or rise are there at once."""
        blend, share = after.copy(), frame / self.frames
        dx, dy = after.x - before.x, after.y - before.y
        walks = (np.abs(dx) + np.abs(dy) < LEAP) & (before.health > 0)
        blend.x[walks], blend.y[walks] = (before.x + share * dx)[walks], (before.y + share * dy)[walks]
        return blend

    def mark(self, painter: Painter, state: Any) -> None:
        """A ring round the own hero, and a cross where it goes or round whom it attacks."""
        from envs.arena.draw import view_field

        canvas = painter.canvas
        if canvas is None:
            return
        params = self.envs.params[state.param]
        view_field(canvas, params, painter.tables)
        pixel, own = canvas.pixel(), (86, 214, 84)
        size = int(params.team_size)
        me = self.seat if self.seat < size else self.seat + int(params.team_units) - size
        if state.health[me] > 0:
            canvas.circle((float(state.x[me]), float(state.y[me])), 23 * pixel, own, width=3 * pixel)
        if self.order.what == WALK:
            x, y = self.order.place
            for slant in (-1, 1):
                start, end = (x - 5 * pixel, y - 5 * slant * pixel), (x + 5 * pixel, y + 5 * slant * pixel)
                canvas.line(start, end, own, 3 * pixel)
        elif self.order.what == FIGHT and state.health[self.order.unit] > 0:
            unit = self.order.unit
            canvas.circle((float(state.x[unit]), float(state.y[unit])), 21 * pixel, (224, 56, 56), width=3 * pixel)
        canvas.view(0, canvas.size[1], canvas.size[0], 0)


def decide(hands: Hands, order: Order, sight: Sight) -> tuple[np.ndarray, Order]:
    """The action (verb, row, direction) int64 `[3]`, and the order from now on."""
    from envs.arena.draw import place_at
    from envs.arena.state import RECALL, WARD

    mouse = place_at(sight.params, sight.cells, hands.mouse)
    if hands.click is not None and (place := place_at(sight.params, sight.cells, hands.click)):
        order = order_at(place, sight)
    if sight.state.health[sight.me] <= 0:
        return _action(), Order()
    for key in hands.pressed:
        if key == "s":
            order = Order()
        elif key == "b":
            order = Order(HOME_RECALL)
        elif key == "v" and sight.verbs[WARD]:
            return _action(WARD), order
        elif key == "a" and (unit := nearest_prey(mouse or sight.at(sight.me), sight)) >= 0:
            order = Order(FIGHT, unit=unit)
        elif (spell := _cast(key, mouse, sight)) is not None or (spell := _trade(key, sight)) is not None:
            return spell, order
    if order.what == HOME_RECALL:
        return (_action(RECALL), order) if sight.verbs[RECALL] else (_action(), Order())
    if order.what == FIGHT:
        return _fight(order, sight)
    return _walk(order, sight) if order.what == WALK else (_stand(sight), order)


def _action(verb: int = 0, row: int = 0, direction: int = 0) -> np.ndarray:
    return np.array([verb, row, direction], np.int64)


def order_at(place: tuple[float, float], sight: Sight) -> Order:
    """What a click at a place means: to attack the enemy there, else to walk there."""
    state, params = sight.state, sight.params
    hostile = (np.asarray(params.slot_faction) != sight.team) & (np.asarray(state.seen) >> sight.team & 1 != 0)
    hostile[sight.targets[sight.rows[0] & (sight.targets >= 0)]] = True
    hostile &= np.asarray(state.health) > 0
    away = np.where(hostile, np.hypot(state.x - place[0], state.y - place[1]), np.inf)
    unit = int(np.argmin(away))
    return Order(FIGHT, unit=unit) if away[unit] <= TOUCH else Order(WALK, _ground(place, sight))


def _ground(place: tuple[float, float], sight: Sight) -> tuple[float, float]:
    """A place, or the middle of the nearest cell without a wall where it lies in one."""
    height, width = int(sight.params.height), int(sight.params.width)
    row, column = _free_cell(place, sight)
    if (row, column) == (int(place[1] + height / 2), int(place[0] + width / 2)):
        return place
    return column + 0.5 - width / 2, row + 0.5 - height / 2


def nearest_prey(place: tuple[float, float], sight: Sight) -> int:
    """The slot nearest a place that may be attacked now; -1: none."""
    return _nearest(place, sight, sight.rows[0])[1]


def _nearest(place: tuple[float, float], sight: Sight, legal: np.ndarray) -> tuple[int, int]:
    """(row, slot) of the legal target nearest a place; -1, -1 if none is."""
    best, found = np.inf, (-1, -1)
    for row in np.flatnonzero(legal).tolist():
        unit = int(sight.targets[row])
        x, y = sight.at(unit)
        if (away := (x - place[0]) ** 2 + (y - place[1]) ** 2) < best:
            best, found = away, (row, unit)
    return found


def _cast(key: str, mouse: tuple[float, float] | None, sight: Sight) -> np.ndarray | None:
    """The ability of a key, aimed at the legal target nearest the mouse."""
    from envs.arena.state import CAST

    if key not in ("q", "w", "e", "r"):
        return None
    number = "qwer".index(key)
    row, _ = _nearest(mouse or sight.at(sight.me), sight, sight.rows[1 + number])
    return _action(CAST + number, row) if row >= 0 and sight.verbs[CAST + number] else None


def _trade(key: str, sight: Sight) -> np.ndarray | None:
    """Where the shop or the skills are the player's: 1 to 8 buy, Y U I O learn."""
    from envs.arena.state import BUY, LEARN

    verb = BUY + "12345678".index(key) if key in tuple("12345678") else -1
    verb = LEARN + "yuio".index(key) if key in tuple("yuio") else verb
    return _action(verb) if 0 <= verb < len(sight.verbs) and sight.verbs[verb] else None


def _stand(sight: Sight) -> np.ndarray:
    """Attacks the nearest enemy within reach, from where it is."""
    from envs.arena.state import ATTACK

    here = sight.at(sight.me)
    hostile = np.asarray(sight.params.slot_faction)[sight.targets] != sight.team
    row, unit = _nearest(here, sight, sight.rows[0] & hostile)
    if unit < 0 or not sight.verbs[ATTACK]:
        return _action()
    x, y = sight.at(unit)
    within = np.hypot(x - here[0], y - here[1]) <= float(sight.state.reach[sight.me])
    return _action(ATTACK, row) if within else _action()


def _fight(order: Order, sight: Sight) -> tuple[np.ndarray, Order]:
    """Attacks a unit, or walks to where it can be attacked; idle when it is dead or out of sight."""
    from envs.arena.state import ATTACK

    unit = order.unit
    known = int(sight.state.seen[unit]) >> sight.team & 1
    if sight.state.health[unit] <= 0 or not known:
        return _action(), Order()
    rows = np.flatnonzero((sight.targets == unit) & sight.rows[0])
    if len(rows) and sight.verbs[ATTACK]:
        return _action(ATTACK, int(rows[0])), order
    action, _ = _walk(Order(WALK, sight.at(unit)), sight)
    return action, order


def _walk(order: Order, sight: Sight) -> tuple[np.ndarray, Order]:
    """A step of the shortest way; idle once there."""
    from envs.arena.state import MOVE

    x, y = sight.at(sight.me)
    goal = order.place
    if np.hypot(goal[0] - x, goal[1] - y) <= NEAR * float(sight.state.speed[sight.me]):
        return _action(), Order()
    direction = towards(_next_place((x, y), goal, sight), (x, y), sight)
    return (_action(MOVE, 0, direction), order) if direction >= 0 and sight.verbs[MOVE] else (_action(), order)


def towards(place: tuple[float, float], start: tuple[float, float], sight: Sight) -> int:
    """The legal one of the eight directions, as the seat's team counts them, that leads best to a place; -1: none."""
    from envs.arena.map import DX, DY

    sign = -1 if sight.team else 1
    steps = sign * np.stack([DX, DY], axis=1) / np.hypot(DX, DY)[:, None]
    gain = np.where(sight.directions, steps @ (np.array(place) - start), -np.inf)
    best = int(np.argmax(gain))
    return best if gain[best] > 0 else -1


def _next_place(start: tuple[float, float], goal: tuple[float, float], sight: Sight) -> tuple[float, float]:
    """A place on the shortest way, a little ahead."""
    height, width = int(sight.params.height), int(sight.params.width)
    steps = distances(sight.cells.tobytes(), width, _free_cell(goal, sight))
    row, column = int(start[1] + height / 2), int(start[0] + width / 2)
    for _ in range(LOOK_AHEAD):
        top, left = max(row - 1, 0), max(column - 1, 0)
        around = steps[top : row + 2, left : column + 2]
        down, right = np.unravel_index(int(np.argmin(around)), around.shape)
        row, column = top + int(down), left + int(right)
        if steps[row, column] == 0:
            return goal
    return column + 0.5 - width / 2, row + 0.5 - height / 2


def _free_cell(place: tuple[float, float], sight: Sight) -> tuple[int, int]:
    """(row, column) of the cell without a wall nearest a place."""
    from envs.arena.map import WALL

    height, width = int(sight.params.height), int(sight.params.width)
    free = np.argwhere(sight.cells.reshape(height, width) != WALL)
    away = np.hypot(free[:, 1] + 0.5 - width / 2 - place[0], free[:, 0] + 0.5 - height / 2 - place[1])
    row, column = free[int(np.argmin(away))]
    return int(row), int(column)


@lru_cache(64)
def distances(cells: bytes, width: int, goal: tuple[int, int]) -> np.ndarray:
    """Cells to go from everywhere to a goal, float `[height, width]`, infinite in walls; never across their corners."""
    from envs.arena.map import DX, DY, WALL

    walls = (np.frombuffer(cells, np.uint8) == WALL).reshape(-1, width)
    found = np.full(walls.shape, np.inf)
    found[goal] = 0
    heap = [(0.0, *goal)]
    while heap:
        so_far, row, column = heapq.heappop(heap)
        if so_far > found[row, column]:
            continue
        for dx, dy in zip(DX.tolist(), DY.tolist(), strict=True):
            r, c = row + dy, column + dx
            if not (0 <= r < len(walls) and 0 <= c < width) or walls[r, c] or walls[row, c] or walls[r, column]:
                continue
            new = so_far + (1.4142 if dx and dy else 1.0)
            if new < found[r, c]:
                found[r, c] = new
                heapq.heappush(heap, (new, r, c))
    return found
