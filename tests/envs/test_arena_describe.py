"""Observations in words say what is so, and the structured view is the same memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import envs
from envs.arena import FEATURES, arena, data, describe, duel
from envs.arena.describe import feature_table, read


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
    assert "enemy a hero never seen" in text and "no boss" in text
    env.state.health[0, enemy], env.state.respawn[0, 1] = 0, 41
    obs, *_ = env.step(torch.zeros(2, 3, dtype=torch.int64))
    assert "dead, back in 8.0 s" in describe(obs[0])


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
