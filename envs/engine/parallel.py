"""One world with all its seats as a PettingZoo `ParallelEnv`: a batch of one without autoreset."""

import copy
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded

from envs.engine.rules import World
from envs.engine.single import row_info
from envs.engine.vector import NumpyVectorEnv

try:
    from pettingzoo import ParallelEnv
except ImportError as error:
    raise ImportError("the PettingZoo face needs pettingzoo: pip install pettingzoo") from error


class WorldParallelEnv(ParallelEnv):
    """Every seat of a world is an agent, "seat_0", "seat_1", ...; all end together.

    `infos[agent]["action_mask"]` has the form that `action_space(agent).sample(mask)` takes. The world's statistics are
    in `infos[agent]` under their names, as floats, and what the reward is made of in `infos[agent]["reward_terms"]`.
    """

    def __init__(self, world: World, seed: int = 0, render_mode: str | None = None) -> None:
        if render_mode not in (None, "human", "rgb_array"):
            raise ValueError(f'render_mode must be "human" or "rgb_array", got {render_mode!r}')
        self.worlds = NumpyVectorEnv(
            world, 1, seed=seed, num_threads=1, autoreset_mode="Disabled", render_mode=render_mode
        )
        self.render_mode = render_mode
        self.metadata = {**self.worlds.metadata, "name": world.name}
        self.possible_agents = [f"seat_{seat}" for seat in range(world.num_seats)]
        self.agents: list[str] = []
        self.observation_spaces = {agent: copy.deepcopy(world.observation_space) for agent in self.possible_agents}
        self.action_spaces = {agent: copy.deepcopy(world.action_space) for agent in self.possible_agents}

    def observation_space(self, agent: str) -> Any:
        """One seat's, the same object at each call."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Any:
        """One seat's, the same object at each call."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Starts episode 0 of a seed, or the next episode."""
        obs, infos = self.worlds.reset(seed=seed)
        self.agents = list(self.possible_agents)
        return self._by_agent(obs), self._infos(infos)

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """One step of all seats, `frame_skip` ticks; after the last step of an episode `agents` is empty.

        Raises:
            ResetNeeded: the episode has ended, or none has begun.
            ValueError: an agent has no action, or one outside its space; nothing has stepped then.
        """
        if not self.agents:
            raise ResetNeeded("no episode is under way: call reset() before step()")
        if missing := [agent for agent in self.agents if agent not in actions]:
            raise ValueError(f"no action for {missing}: give one for each of env.agents")
        shape = self.worlds.single_action_space.shape
        rows = {agent: np.asarray(actions[agent]) for agent in self.possible_agents}
        if wrong := [agent for agent, row in rows.items() if row.shape != shape]:
            raise ValueError(f"actions must have the shape {shape}, that of {wrong[0]} has {rows[wrong[0]].shape}")
        rows = np.stack(list(rows.values()))
        obs, rewards, terminated, truncated, infos = self.worlds.step(rows)
        if terminated[0] or truncated[0]:
            self.agents = []
        return (
            self._by_agent(obs),
            {agent: float(reward) for agent, reward in self._by_agent(rewards).items()},
            {agent: bool(flag) for agent, flag in self._by_agent(terminated).items()},
            {agent: bool(flag) for agent, flag in self._by_agent(truncated).items()},
            self._infos(infos),
        )

    def render(self) -> np.ndarray | None:
        """uint8 `[height, width, 3]` under "rgb_array"; paints the window under "human"."""
        pictures = self.worlds.render()
        return None if pictures is None else pictures[0]

    def close(self) -> None:
        """Closes the window, if there is one."""
        self.worlds.close()

    def _by_agent(self, rows: np.ndarray) -> dict[str, Any]:
        return dict(zip(self.possible_agents, rows, strict=True))

    def _infos(self, infos: dict[str, Any]) -> dict[str, dict[str, Any]]:
        return {agent: row_info(self.worlds, infos, row) for row, agent in enumerate(self.possible_agents)}
