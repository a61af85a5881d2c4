"""Pictures of what is under way in a batch of one: a world's own in the look that is asked for, or `render()`."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from experiments.errors import InputError


class Painter:
    """Paints the first environment of a batch.

    Args:
        envs: what `envs.make_vec` gives, or a Gymnasium vector env with render_mode="rgb_array".

    Attributes:
        canvas: what a world is painted on; its `look` may be set. None for environments that are no worlds.
    """

    def __init__(self, envs: Any) -> None:
        self.envs, self.canvas = envs, None
        world = getattr(envs, "world", None)
        if world is not None and world.draw is not None:
            from envs.engine.canvas import Canvas
            from envs.engine.records import by_attribute

            self.canvas = Canvas(world.draw_size, fps=world.render_fps)
            self.tables = SimpleNamespace(**dict(zip(world.tables, by_attribute(world.tables.values()), strict=True)))

    def set_look(self, look: int) -> None:
        """Which look of a world's picture is wanted, from 0."""
        if self.canvas is not None:
            self.canvas.look = look

    def draw(self, state: Any) -> None:
        """Paints a world's record on the canvas."""
        self.envs.world.draw(self.canvas, state, self.envs.params[state.param], self.tables)

    def picture(self) -> np.ndarray:
        """uint8 `[height, width, 3]`.

        Raises:
            InputError: the environment draws nothing.
        """
        if self.canvas is not None:
            self.draw(self.envs.state[0])
            return self.canvas.pixels()
        envs = self.envs
        if "rgb_array" not in envs.metadata.get("render_modes", ()):
            raise InputError(
                "the environment can't be watched, it draws no pictures: its render_modes lack 'rgb_array'"
            )
        try:
            pictures = envs.render()
        except Exception as error:
            raise InputError(f"the environment's render failed with {type(error).__name__}: {error}") from error
        if not pictures or pictures[0] is None:
            raise InputError(f"{envs.spec.id if envs.spec else 'the environment'} has no picture to show")
        return np.asarray(pictures[0], np.uint8)
