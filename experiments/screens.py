"""Where pictures go: a video file, a window, and a window that a person plays in."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from experiments.errors import InputError, as_input_error
from experiments.human import Hands


class Video:
    """A file that pictures are added to."""

    look = 0

    def __init__(self, path: Path, fps: int) -> None:
        import imageio.v2 as imageio

        self.path, self.shown = path, False
        options: dict[str, Any] = {"fps": fps, "macro_block_size": 2}
        if path.suffix == ".gif":
            options = {"duration": 1000 / min(fps, 50), "loop": 0}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.writer: Any = imageio.get_writer(path, **options)
        except OSError as error:
            raise InputError(f"can't write --video {path}: {error.strerror or error}") from error

    def show(self, picture: np.ndarray, title: str) -> bool:
        """Adds a picture; a video has no title. The last one stays within even bounds, which mp4 needs."""
        height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
        with as_input_error(OSError, ValueError, prefix=f"can't write --video {self.path}: "):
            self.writer.append_data(picture[:height, :width])
        self.shown = True
        return True

    def close(self) -> None:
        """Completes the file.

        Raises:
            InputError: it could not be written, as on a full disk.
        """
        with as_input_error(OSError, RuntimeError, prefix=f"can't write --video {self.path}: "):
            self.writer.close()
            if self.path.suffix == ".mp4" and self.shown:
                import imageio_ffmpeg

                imageio_ffmpeg.count_frames_and_secs(str(self.path))


class Window:
    """A pygame window that shows pictures at their speed."""

    def __init__(self, fps: int) -> None:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        import pygame

        self.pygame: Any = pygame
        self.fps: float = fps
        self.look = 0
        self.ends = pygame.K_q, pygame.K_ESCAPE
        self.speeds = {pygame.K_UP: 2.0, pygame.K_DOWN: 0.5}
        self.surface: Any = None
        self.clock = pygame.time.Clock()
        try:
            pygame.display.init()
            unseen = pygame.display.get_driver() in ("dummy", "offscreen") and "SDL_VIDEODRIVER" not in os.environ
        except pygame.error:
            unseen = True
        if unseen:
            raise InputError("there is no display to open a window on; an agent can be watched with --video play.mp4")

    def show(self, picture: np.ndarray, title: str) -> bool:
        """Shows a picture until the next one's time; False once the window is closed."""
        pygame = self.pygame
        if self.surface is None:
            self.surface = pygame.display.set_mode((picture.shape[1], picture.shape[0]), pygame.RESIZABLE)
        frame = pygame.surfarray.make_surface(picture.swapaxes(0, 1))
        self.surface.blit(pygame.transform.smoothscale(frame, self.surface.get_size()), (0, 0))
        pygame.display.set_caption(f"quintet · {title}")
        pygame.display.flip()
        self.clock.tick(self.fps)
        return self._keys()

    def _keys(self) -> bool:
        """Acts on events, and waits while paused."""
        paused = False
        while True:
            for event in self.pygame.event.get():
                key = event.key if event.type == self.pygame.KEYDOWN else None
                if event.type == self.pygame.QUIT or key in self.ends:
                    return False
                if key == self.pygame.K_SPACE:
                    paused = not paused
                if key in self.speeds:
                    self.fps = min(480.0, max(1.0, self.fps * self.speeds[key]))
                if key is not None and self.pygame.K_F1 <= key <= self.pygame.K_F12:
                    self.look = key - self.pygame.K_F1
                self.note(event)
            if not paused:
                return True
            self.clock.tick(30)

    def note(self, event: Any) -> None:
        """What else an event means; nothing to one who only watches."""

    def close(self) -> None:
        """Closes the window."""
        self.pygame.quit()


class PlayWindow(Window):
    """A window that also notes what a person's hands do. Its letters and arrows are the game's; only Escape ends."""

    def __init__(self, fps: int) -> None:
        super().__init__(fps)
        pygame = self.pygame
        self.ends = (pygame.K_ESCAPE,)
        self.speeds = {pygame.K_PLUS: 1.25, pygame.K_EQUALS: 1.25, pygame.K_KP_PLUS: 1.25}
        self.speeds |= {pygame.K_MINUS: 0.8, pygame.K_KP_MINUS: 0.8}
        self.pressed: list[str] = []
        self.down: set[str] = set()
        self.click: tuple[float, float] | None = None
        self.mouse = (0.0, 0.0)
        self.size = (1, 1)

    def show(self, picture: np.ndarray, title: str) -> bool:
        """As a `Window`."""
        self.size = picture.shape[1], picture.shape[0]
        return super().show(picture, title)

    def note(self, event: Any) -> None:
        """Keys and mouse."""
        pygame = self.pygame
        if event.type == pygame.KEYDOWN:
            self.pressed.append(pygame.key.name(event.key))
            self.down.add(pygame.key.name(event.key))
        elif event.type == pygame.KEYUP:
            self.down.discard(pygame.key.name(event.key))
        elif event.type in (pygame.MOUSEMOTION, pygame.MOUSEBUTTONDOWN):
            shown = self.surface.get_size()
            self.mouse = event.pos[0] * self.size[0] / shown[0], event.pos[1] * self.size[1] / shown[1]
            if event.type == pygame.MOUSEBUTTONDOWN and event.button in (1, 3):
                self.click = self.mouse

    def hands(self) -> Hands:
        """What was done since the last call."""
        done = Hands(tuple(self.pressed), frozenset(self.down | set(self.pressed)), self.click, self.mouse)
        self.pressed, self.click = [], None
        return done
