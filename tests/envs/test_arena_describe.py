"""Observations in words say what is so, and the structured view is the same memory."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

import envs
from envs.arena import FEATURES, arena, data, describe, duel
from envs.arena.describe import feature_table, read
from envs.engine import Structured


def after(world: str, ticks: int, seed: int = 4) -> tuple[Any, torch.Tensor]:
    """A world that hard players have played for a while, and its observations."""
    env = envs.make_vec(world, 1, num_threads=1, seed=seed)
    env.set_control([3] * env.num_seats)
    obs, _ = env.reset()
    actions = torch.zeros(env.num_envs, 3, dtype=torch.int64)
    for _ in range(ticks):
        obs = env.step(actions)[0]
    return env, obs


@pytest.mark.parametrize(("world", "ticks"), [("quintet/Duel-v0", 300), ("quintet/Arena-v0", 900)])
def test_numbers_read_back_are_those_of_the_state(world: str, ticks: int) -> None:
    env, obs = after(world, ticks)
    state, params = env.state[0], env.params[0]
    size, units = int(params.team_size), int(params.team_units)
    assert env.obs_layout is not None
    for seat in range(env.num_seats):
        unit = seat if seat < size else seat + units - size
        groups = read(obs[seat].numpy(), env.obs_layout)
        me, own = groups["allies"][0], groups["self"][0]
        assert me["health_points"] == pytest.approx(state.health[unit], rel=1e-5)
        assert me["level"] == pytest.approx(state.level[seat], rel=1e-5)
        assert me["damage"] == pytest.approx(state.damage[unit], rel=1e-5)
        assert own["gold"] == pytest.approx(state.gold[seat], rel=1e-5)
        assert own["last_hits"] == pytest.approx(state.last_hits[seat], rel=1e-5)
        for number, item in enumerate(data.ITEMS):
            assert own[f"item_{item.name}"] == state["items"][seat, number]
        hero = data.HEROES[state.hero[seat]].name
        assert [name for name, value in me.items() if name.startswith("is_") and value] == [f"is_{hero}"]
        text = describe(obs[seat])
        assert f"I am {hero} of level {state.level[seat]}, health {state.health[unit]} (" in text
        assert f"{state.gold[seat]} gold" in text


def test_places_have_the_names_of_the_moves_that_lead_there() -> None:
    env, _ = after("quintet/Duel-v0", 0)
    units = int(env.params[0].team_units)
    saved = env.save_state()
    for seat, sign in ((0, 1), (1, -1)):
        for dx, dy, name in ((3, 0, "east"), (0, 3, "south"), (-2, -2, "north-west"), (2, -2, "north-east")):
            env.load_state(saved)
            me, enemy = (0, units) if seat == 0 else (units, 0)
            env.state.x[0, me], env.state.y[0, me] = 0, 0
            env.state.x[0, enemy], env.state.y[0, enemy] = sign * dx, sign * dy
            obs, *_ = env.step(torch.zeros(2, 3, dtype=torch.int64))
            distance = np.hypot(dx, dy)
            (line,) = [
                line for line in describe(obs[seat]).splitlines() if line.startswith("enemy") and "level" in line
            ]
            assert f"{distance:.1f} cells {name}" in line


def test_the_dead_the_unseen_and_abilities_are_told() -> None:
    env, _ = after("quintet/Duel-v0", 0)
    enemy = int(env.params[0].team_units)
    state = env.state[0]
    state.hero[:] = [1, 0]
    state.rank[0], state.mana[0], state.cooldown[0, 1] = [1, 1, 0, 0], 200, 51
    obs, *_ = env.step(torch.zeros(2, 3, dtype=torch.int64))
    text = describe(obs[0])
    assert "fireball 1 (ready), frost nova 1 (10.0 s), arcane veil (not learnt), meteor (not learnt)" in text
    assert "enemy hero not seen yet\n" in text and "no boss" in text
    env.state.health[0, enemy], env.state.respawn[0, 1] = 0, 41
    obs, *_ = env.step(torch.zeros(2, 3, dtype=torch.int64))
    assert "enemy hero not seen yet, dead, back in 8.0 s" in describe(obs[0])


def test_who_went_into_the_fog_is_told_as_last_seen() -> None:
    env, _ = after("quintet/Duel-v0", 0)
    me, enemy = 0, int(env.params[0].team_units)
    idle = torch.zeros(2, 3, dtype=torch.int64)
    env.state.hero[0], env.state.control[0] = [0, 4], 0
    env.state.x[0, [me, enemy]], env.state.y[0, [me, enemy]] = [-4, 0], 0
    env.state.health[0, enemy], env.state.max_health[0, enemy] = 200, 500
    env.step(idle)
    env.state.x[0, enemy] = 17
    for ticks in (10, 50, 150, 200):
        env.state.tick[0] = env.state.known_tick[0, 1] + ticks - 1
        text = describe(env.step(idle)[0][0])
        (line,) = [line for line in text.splitlines() if line.startswith("enemy rogue")]
        since = f"unseen for {ticks / 5:.1f} s" if ticks < 150 else "long unseen"
        assert line.startswith("enemy rogue of level 1, health 200 (40%)") and "4.0 cells east" in line
        assert line.endswith(since)


def test_creeps_and_structures_are_told_with_whom_they_aim_at() -> None:
    env, _ = after("quintet/Duel-v0", 40)
    state, params = env.state[0], env.params[0]
    state.control[:] = 0
    creep = int(np.flatnonzero((params.slot_kind == data.RANGED) & (params.slot_faction == 1))[0])
    tower = int(np.flatnonzero((params.slot_kind == data.TOWER_1) & (params.slot_faction == 1))[0])
    state.x[0], state.y[0] = state.x[tower] - 5, state.y[tower]
    state.x[creep], state.y[creep], state.max_health[creep], state.health[creep] = state.x[0], state.y[0] - 3, 160, 30
    state.target[[creep, tower]] = 0
    obs, *_ = env.step(torch.zeros(2, 3, dtype=torch.int64))
    lines = describe(obs[0]).splitlines()
    (shooter,) = [line for line in lines if line.startswith("hostile ranged creep") and "aims at me" in line]
    assert "health 30 (19%), 3.0 cells north, aims at me, one blow kills" in shooter
    (wall,) = [line for line in lines if line.startswith("enemy tower 1")]
    health = int(state.health[tower])
    assert wall == f"enemy tower 1, health {health} (100%), 5.0 cells east, aims at me"


@pytest.mark.parametrize("id", ["quintet/Duel-v0", "quintet/Arena-v0", "quintet/GridWorld-v0"])
def test_a_single_env_gives_its_groups_as_a_dict_of_views(id: str) -> None:
    options: dict[str, Any] = {"observation": "egocentric"} if "Grid" in id else {}
    env = Structured(gymnasium.make(id, **options))
    groups, _ = env.reset(seed=1)
    assert env.observation_space.contains(groups) and list(groups) == list(env.obs_layout)
    flat, *_ = env.env.step(env.action_space.sample())
    views = env.observation(flat)
    assert all(np.shares_memory(view, flat) for view in views.values())
    assert np.concatenate([view.ravel() for view in views.values()]).tolist() == flat.ravel().tolist()
    with pytest.raises(ValueError, match="no obs_layout"):
        Structured(gymnasium.make("quintet/GridWorld-v0"))


def test_wrong_rows_are_refused_and_other_maps_take_their_layout() -> None:
    env, obs = after("quintet/Duel-v0", 0)
    with pytest.raises(ValueError, match=r"one observation, \[width\], got \[2, 299\]"):
        describe(obs)
    with pytest.raises(ValueError, match="299 or 507 numbers, this 12; give env"):
        describe(np.zeros(12))
    with pytest.raises(ValueError, match="the layout has 299 numbers, the observation 507"):
        describe(np.zeros(507), env.obs_layout)
    assert describe(obs[0]) == describe(obs[0].numpy(), env.obs_layout)


@pytest.mark.parametrize("make", [arena, duel])
def test_the_layout_covers_every_number_once_and_views_share_memory(make: Any) -> None:
    world = make()
    width = world.observation_space.shape[0]
    obs = torch.arange(3.0 * width).reshape(3, width)
    seen = []
    for field in world.obs_layout.values():
        view = field.view(obs)
        assert view.shape == (3, *field.shape) and field.shape[-1] == len(FEATURES[field.kind])
        assert np.shares_memory(view.numpy(), obs.numpy())
        assert np.shares_memory(field.view(obs.numpy()), obs.numpy())
        seen += view[0].flatten().tolist()
    assert seen == list(range(width))


def test_the_page_lists_every_feature() -> None:
    assert (Path(envs.__file__).parent / "arena" / "observation.md").read_text() == feature_table() + "\n"
