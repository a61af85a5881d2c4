"""An observation as a dict of its named groups, for networks that read entities."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Structured(gymnasium.ObservationWrapper):
    """`gymnasium.make(...)` of a world with an `obs_layout`, its observation a dict of the groups that this names.

    The arrays are views of the flat observation: nothing is copied. A batch needs no wrapper:
    `{name: field.view(obs) for name, field in env.obs_layout.items()}`.

    Raises:
        ValueError: the world names no groups.
    """

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        layout = getattr(env.unwrapped, "obs_layout", None)
        space = env.observation_space
        if layout is None or not isinstance(space, spaces.Box):
            raise ValueError(f"{env} has no obs_layout that names the groups of its observation; use it as it is")
        self.obs_layout = layout
        low, high = self.observation(space.low), self.observation(space.high)
        self.observation_space = spaces.Dict(
            {name: spaces.Box(low[name], high[name], dtype=np.float32) for name in low}
        )

    def observation(self, observation: Any) -> dict[str, np.ndarray]:
        """Name -> float32 `[rows, features]`, or `[features]` where a group is one row."""
        flat = observation.reshape(-1)
        return {name: field.view(flat) for name, field in self.obs_layout.items()}
