"""One world, one seat, as an ordinary `gymnasium.Env`: a batch of one without autoreset."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from envs.engine.rules import ActionLayout
from envs.engine.vector import NumpyVectorEnv, one_seat
from envs.registration import load_world, split_options


class SingleEnv(gymnasium.Env):
    """World 0 of a batch: the same games as row 0 of `envs.make_vec` with the same seed.

    Where the world has masks, `info["action_mask"]` has the form that `action_space.sample(mask)` takes. The world's
    statistics are in `info` under their names, as floats, and what the reward is made of in `info["reward_terms"]`.

    `gymnasium.make(id, max_episode_steps=n)` can only shorten an episode, by a wrapper of Gymnasium's; the world's own
    limit is `env.unwrapped.worlds.set_params(max_episode_steps=n)`, in ticks.
    """

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": 30}  # noqa: RUF012

    def __init__(self, world: str, render_mode: str | None = None, **options: Any) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f'render_mode must be "human" or "rgb_array", got {render_mode!r}')
        batch_options, world_options = split_options(options)
        seats = one_seat(batch_options.pop("seats", (0,)))
        self._seeded = "seed" in batch_options
        batch_options |= {"autoreset_mode": "Disabled", "num_threads": 1}
        self.worlds = NumpyVectorEnv(
            load_world(world, **world_options), 1, seats=seats, render_mode=render_mode, **batch_options
        )
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": self.worlds.world.render_fps}
        self.observation_space = self.worlds.single_observation_space
        self.action_space = self.worlds.single_action_space
        self.action_layout, self.obs_layout = self.worlds.action_layout, self.worlds.obs_layout

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts episode 0 of a seed, or the next episode."""
        super().reset(seed=seed)
        if unknown := sorted(options or {}):
            raise ValueError(f"reset takes no options here, got {unknown}; leave them out")
        if seed is None and not self._seeded:
            seed = int(self.np_random.integers(2**62))
        self._seeded = True
        obs, infos = self.worlds.reset(seed=seed)
        if self.render_mode == "human":
            self.render()
        return obs[0], row_info(self.worlds, infos, 0)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step: `frame_skip` ticks with the same action, fewer where the episode ends.

        Raises:
            ResetNeeded: the episode has ended, or none has begun.
            ValueError: the action is not in the action space.
        """
        if self.worlds.state[0].ended:
            raise ResetNeeded("the episode has ended: call reset() before step()")
        obs, rewards, terminated, truncated, infos = self.worlds.step(np.asarray(action)[None])
        if self.render_mode == "human":
            self.render()
        return obs[0], float(rewards[0]), bool(terminated[0]), bool(truncated[0]), row_info(self.worlds, infos, 0)

    def render(self) -> np.ndarray | None:
        """uint8 `[height, width, 3]` under "rgb_array"; paints the window under "human"."""
        pictures = self.worlds.render()
        return None if pictures is None else pictures[0]

    @property
    def action_masks(self) -> Callable[[], np.ndarray]:
        """Gives the current mask, one bool row, the parts of the action side by side, as sb3-contrib calls for it.

        Raises:
            AttributeError: the world has no masks, so that `hasattr` says so.
        """
        masks = self.worlds.action_masks
        return lambda: masks()[0]

    def close(self) -> None:
        """Closes the window, if there is one."""
        self.worlds.close()


def row_info(worlds: NumpyVectorEnv, infos: dict[str, Any], row: int) -> dict[str, Any]:
    """One seat's info of a batch of one world.

    "action_mask" where there are masks, each statistic's present value as a float, and "reward_terms", name -> float,
    where the world has terms.
    """
    world, layout, info = worlds.world, worlds.action_layout, {}
    if layout is not None:
        info["action_mask"] = sample_mask(world.action_space, layout, infos["action_mask"][row])
    for name in world.statistics:
        info[name] = float(worlds.state[name][0, worlds.seats[row]])
    if world.reward_terms:
        info["reward_terms"] = {name: float(rows[row]) for name, rows in worlds.reward_terms().items()}
    return info


def sample_mask(space: spaces.Space, layout: ActionLayout, row: np.ndarray) -> Any:
    """A mask row `[M]` in the form that `space.sample(mask)` takes: int8, one array a part.

    A later part's mask depends on the verb; here it is what any verb allows.
    """
    masks = tuple(part.astype(np.int8) for part in layout.parts(row))
    return masks[0] if isinstance(space, spaces.Discrete) else masks
