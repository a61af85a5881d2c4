"""Pictures of the arena: what is there is drawn, and what a team does not see is not."""

from typing import Any

import numpy as np
import pytest

from envs.arena import arena, data, duel
from envs.arena.draw import SCREEN, lay_out, place_at
from envs.arena.draw_scene import Scene
from envs.arena.draw_terrain import edges
from envs.arena.state import BOSS_SLAIN, FELL, KILLED, WARDED
from envs.engine.canvas import Canvas
from envs.engine.rules import World
from tests.arena_records import TICK, darken, game, place


@pytest.fixture(scope="module", params=["arena", "duel"])
def world(request: pytest.FixtureRequest) -> World:
    """Either world."""
    return arena() if request.param == "arena" else duel()


@pytest.fixture(scope="module")
def canvas() -> Canvas:
    """One for all, as an env has it."""
    return Canvas(SCREEN)


def picture(canvas: Canvas, world: World, record: tuple[Any, Any, Any], look: int = 0) -> np.ndarray:
    """The picture of a record, int16 so that pictures can be subtracted."""
    assert world.draw is not None
    canvas.look = look
    world.draw(canvas, *record)
    return canvas.pixels().astype(np.int16)


def changed(before: np.ndarray, after: np.ndarray, record: tuple[Any, Any, Any]) -> tuple[bool, bool]:
    """Whether the field differs, and whether the rest does."""
    _, params, tables = record
    x, y, width, height = (round(length) for length in lay_out(edges(params, tables.cells)).field)
    differs = (before != after).any(axis=2)
    field = differs[y : y + height, x : x + width]
    return bool(field.any()), bool(differs.sum() > field.sum())


def test_a_game_is_drawn_with_field_and_panel(world: World, canvas: Canvas) -> None:
    shown = picture(canvas, world, game(world))
    assert shown.shape == (SCREEN[1], SCREEN[0], 3) and shown.std() > 30
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) > 500


def test_a_record_of_zeros_is_drawn(world: World, canvas: Canvas) -> None:
    state, params, tables = game(world)
    for name in state.dtype.names:
        state[name] = 0
    shown = picture(canvas, world, (state, params, tables))
    assert shown.shape == (SCREEN[1], SCREEN[0], 3) and shown.std() > 10


def test_every_sort_of_unit_is_drawn_and_missing_when_dead(world: World, canvas: Canvas) -> None:
    state, params, _ = record = game(world)
    for kind in np.unique(params.slot_kind):
        unit = int(np.flatnonzero(params.slot_kind == kind)[0])
        place(state, unit, -3.0, 3.0)
        state.health[unit] = state.max_health[unit]
        there = picture(canvas, world, record)
        state.health[unit] = 0
        assert changed(there, picture(canvas, world, record), record)[0], data.KINDS[kind].name


def test_every_hero_looks_different(world: World, canvas: Canvas) -> None:
    record = game(world)
    pictures = []
    for hero in range(len(data.HEROES)):
        record[0].hero[0] = hero
        pictures.append(picture(canvas, world, record))
    for i, one in enumerate(pictures):
        assert all((one != other).any() for other in pictures[:i])


def test_a_hidden_hero_leaves_no_trace_wherever_it_is(world: World, canvas: Canvas) -> None:
    state, params, _ = record = game(world)
    unit, seat = Scene(state, params).unit(world.num_seats - 1), world.num_seats - 1
    darken(state, params, 0)
    state.spell[seat], state.recall[seat], state.target[unit] = 1, 3, 0
    state.shot_victim[unit], state.shot_ticks[unit], state.shot_time[unit] = 0, 1, 3
    state.spell_victim[seat] = 0
    pictures = []
    for x, y, health in ((5.0, 3.0, 500), (-2.0, -3.0, 100)):
        place(state, unit, x, y)
        state.spell_x[seat], state.health[unit], state.mana[seat] = x, health, health // 4
        pictures.append([picture(canvas, world, record, look) for look in (0, 1, 2)])
    spectator, blind, own = ((one != two).any() for one, two in zip(*pictures, strict=True))
    assert spectator and own and not blind


def test_the_fog_darkens_the_field_of_the_team_that_sees_less(world: World, canvas: Canvas) -> None:
    state, params, _ = record = game(world)
    row = 2
    state.fog[0] = 0
    state.fog[0, row] = 0xFFFFFFFF
    for look, lit in ((1, row), (2, None)):
        shown = picture(canvas, world, record, look)
        bright = picture(canvas, world, record)
        assert (shown[20:500, 20:700].mean() < 0.8 * bright[20:500, 20:700].mean()) == (lit is not None)
    assert Scene(state, params, 0).lit[row].all() and not Scene(state, params, 0).lit[row + 1].any()
    state.fog[1] = state.fog[0]
    assert Scene(state, params, 1).lit[-1 - row].all()


def test_the_last_place_of_a_hero_out_of_sight_is_marked(world: World, canvas: Canvas) -> None:
    state, params, _ = record = game(world)
    seat = world.num_seats - 1
    darken(state, params, 0)
    state.known_x[seat], state.known_y[seat] = 4.0, 2.0
    fresh = picture(canvas, world, record, 1)
    state.known_tick[seat] = 0
    assert changed(fresh, picture(canvas, world, record, 1), record) == (True, False)


@pytest.mark.parametrize("time", [1, 8])
def test_shots_fly_and_blows_fall(world: World, canvas: Canvas, time: int) -> None:
    state, params, _ = record = game(world)
    attacker, victim = 0, Scene(state, params).unit(world.num_seats - 1)
    place(state, attacker, -4, 2)
    place(state, victim, 4, 2)
    still = picture(canvas, world, record)
    state.shot_victim[attacker], state.shot_time[attacker], state.shot_ticks[attacker] = victim, time, time
    near = picture(canvas, world, record)
    assert changed(still, near, record) == (True, False)
    state.shot_ticks[attacker] = max(time - 4, 1)
    assert time == 1 or changed(near, picture(canvas, world, record), record)[0]


def test_spells_grow_and_glow(world: World, canvas: Canvas) -> None:
    state, params, _ = record = game(world)
    ability = next(i for i, one in enumerate(data.ABILITIES) if one.name == "meteor")
    state.hero[0] = ability // data.NUM_ABILITIES
    quiet = picture(canvas, world, record)
    state.spell[0], state.spell_ticks[0], state.spell_x[0] = ability, 4, 2.0
    begun = picture(canvas, world, record)
    state.spell_ticks[0] = 1
    later = picture(canvas, world, record)
    assert changed(quiet, begun, record)[0] and changed(begun, later, record)[0]
    state.spell[0], state.cast_tick[0] = -1, TICK - 1
    meteor = data.ABILITIES[ability]
    state.cooldown[0, ability % data.NUM_ABILITIES] = meteor.cooldown - meteor.delay - 1
    assert Scene(state, params).just_cast(0) == (ability, pytest.approx(0.2))
    assert changed(quiet, picture(canvas, world, record), record)[0]


@pytest.mark.parametrize("mark", ["stun", "slow", "shield", "burn_ticks", "recall"])
def test_what_holds_a_hero_is_marked(world: World, canvas: Canvas, mark: str) -> None:
    state, _, _ = record = game(world)
    before = picture(canvas, world, record)
    state[mark][0] = 10
    assert changed(before, picture(canvas, world, record), record)[0]


def test_the_feed_tells_what_happened(world: World, canvas: Canvas) -> None:
    state, params, _ = record = game(world)
    tower = int(np.flatnonzero(params.slot_kind == data.TOWER_1)[0])
    ward = int(np.flatnonzero(params.slot_kind == data.WARD)[0])
    before = picture(canvas, world, record)
    for what, unit, other in ((KILLED, 0, tower), (FELL, tower, 0), (WARDED, 0, ward), (BOSS_SLAIN, 0, 1)):
        state.event[int(state.num_events) % len(state.event)] = TICK, what, unit, other
        state.num_events += 1
        after = picture(canvas, world, record)
        assert changed(before, after, record) == (False, True)
        before = after


def test_a_pixel_has_its_place(world: World) -> None:
    _, params, tables = game(world)
    x, y, width, height = lay_out(edges(params, tables.cells)).field
    assert place_at(params, tables.cells, (x + width / 2, y + height / 2)) == pytest.approx((0, 0))
    assert place_at(params, tables.cells, (SCREEN[0] - 1, SCREEN[1] - 1)) is None
