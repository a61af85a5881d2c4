"""GridWorld: text levels for tabular agents and for partial views. See `world` for its options."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from envs.engine import ObsField, World
from envs.gridworld import rules
from envs.gridworld.draw import draw, picture_size
from envs.gridworld.levels import LEGEND, LETTERS, Level, level_names, load_level, parse_level
from envs.registration import did_you_mean

__all__ = ["LEGEND", "Level", "level_names", "load_level", "parse_level", "world"]

OBSERVATIONS = ("discrete", "egocentric")
Source = str | Path | Level

GEOMETRY = ("offset", "height", "width", "first_start", "num_starts", "first_state")
"""Params that say where a level lies in the tables."""


def world(
    level: Source | Sequence[Source] = "four_rooms",
    *,
    observation: str = "discrete",
    view_size: int = 5,
    slippery: bool | None = None,
    step_reward: float | None = None,
    goal_reward: float | None = None,
    hole_reward: float | None = None,
    cliff_reward: float | None = None,
    max_episode_steps: int | None = None,
) -> World:
    """Walk from a start to a goal. Actions: 0 left, 1 down, 2 right, 3 up.

    Args:
        level: a built-in name (open, four_rooms, cliff, frozen_lake_4x4, frozen_lake_8x8, maze, ledge, key_door), a
            path to a text file, or a string of several lines (see `envs.gridworld.levels` for the letters). A list
            gives world i of a batch level i % len(list).
        observation: "discrete", the state's number: row * width + column, plus height * width once the key is held,
            plus the states of the levels before; or "egocentric", float32 `[8, view_size, view_size]`: the cells
            round the agent one-hot by `rules.CHANNELS`, rows downwards, outside the map wall.
        view_size: cells a side of the egocentric view, odd.
        slippery: True: every move goes astray as on ice, False: none does, None: the level's own way.
        step_reward: of a step that ends on any cell but the following; None (here and below): the level's own.
        goal_reward: of entering a goal.
        hole_reward: of falling into a hole.
        cliff_reward: of stepping off a cliff.
        max_episode_steps: until truncation, 0 for never.

    Raises:
        ValueError: an unknown level, letter or observation, an even view, a level without start or goal.
    """
    if not isinstance(level, str | Path | Level | Sequence):
        raise ValueError(f"level must be a name, a path or a text, or a list of these, got {level!r}")
    sources = [level] if isinstance(level, str | Path | Level) else list(level)
    if not sources:
        raise ValueError("level is an empty list; give one level at least")
    given = {
        "slippery": slippery, "step_reward": step_reward, "goal_reward": goal_reward, "hole_reward": hole_reward,
        "cliff_reward": cliff_reward, "max_episode_steps": max_episode_steps,
    }  # fmt: skip
    chosen = {name: value for name, value in given.items() if value is not None}
    levels = [replace(one if isinstance(one, Level) else load_level(one), **chosen) for one in sources]
    built = _params(levels)
    return World(
        name="GridWorld",
        state=rules.STATE,
        params=built,
        tables={"cells": np.concatenate([_codes(one) for one in levels]), "starts": np.concatenate(_starts(levels))},
        reset=rules.reset,
        step=rules.step,
        action_space=spaces.Discrete(4),
        max_episode_steps=[one.max_episode_steps for one in levels],
        draw=draw,
        draw_size=picture_size(levels),
        render_fps=8,
        validate=lambda state, params: _validate(state, params, built),
        **_observation(observation, view_size, levels),
    )


def _observation(observation: str, view_size: int, levels: list[Level]) -> dict[str, Any]:
    if observation == "discrete":
        num_states = sum(one.num_states for one in levels)
        return {"observe": rules.observe_index, "observation_space": spaces.Discrete(num_states)}
    if observation != "egocentric":
        hint = did_you_mean(observation, OBSERVATIONS)
        raise ValueError(f"observation must be one of {OBSERVATIONS}, got {observation!r}{hint}")
    if view_size < 1 or view_size % 2 == 0:
        raise ValueError(
            f"view_size must be odd, so that the agent is in the middle, got {view_size}; use 3, 5, 7, ..."
        )
    area = view_size * view_size
    layout = {
        name: ObsField(slice(i * area, (i + 1) * area), (view_size, view_size), "cells")
        for i, name in enumerate(rules.CHANNELS)
    }
    box = spaces.Box(0, 1, (len(rules.CHANNELS), view_size, view_size), np.float32)
    return {"observe": rules.observe_view, "observation_space": box, "obs_layout": layout}


def _params(levels: list[Level]) -> np.ndarray:
    """One row a level, with the places of its cells, starts and states in the tables that all share."""
    params = np.zeros(len(levels), rules.PARAMS)
    starts = [len(cells) for cells in _starts(levels)]
    params["height"] = [one.height for one in levels]
    params["width"] = [one.width for one in levels]
    params["num_starts"] = starts
    params["offset"] = _offsets([one.height * one.width for one in levels])
    params["first_start"] = _offsets(starts)
    params["first_state"] = _offsets([one.num_states for one in levels])
    ways = {None: rules.ON_ICE, True: rules.EVERYWHERE, False: rules.NOWHERE}
    params["slippery"] = [ways[one.slippery] for one in levels]
    for name in ("step_reward", "goal_reward", "hole_reward", "cliff_reward"):
        params[name] = [getattr(one, name) for one in levels]
    return params


def _offsets(sizes: list[int]) -> list[int]:
    return np.cumsum([0, *sizes[:-1]]).tolist()


def _codes(level: Level) -> np.ndarray:
    """uint8 `[height * width]`: each cell's place in `LETTERS`."""
    return np.array([LETTERS.index(letter) for row in level.rows for letter in row], np.uint8)


def _starts(levels: list[Level]) -> list[np.ndarray]:
    return [np.flatnonzero(_codes(level) == rules.START).astype(np.int32) for level in levels]


def _validate(state: np.ndarray, params: np.ndarray, built: np.ndarray) -> None:
    """Refuses an agent outside its level, and tunables that move the levels about in the tables."""
    for name in GEOMETRY:
        if not np.array_equal(params[name], built[name]):
            raise ValueError(f"{name} belongs to the level and can't be changed; make the env with another level")
    height, width = params["height"][state["param"]], params["width"][state["param"]]
    inside = (state["row"] >= 0) & (state["row"] < height) & (state["col"] >= 0) & (state["col"] < width)
    if not (inside & (state["has_key"] >= 0) & (state["has_key"] <= 1)).all():
        raise ValueError("the saved state has an agent outside its level; it is damaged or of other levels")
