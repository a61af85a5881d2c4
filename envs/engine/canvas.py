"""What every renderer draws on: a picture off screen, or a window.

Shapes are given in world coordinates (`view` says which part of the world fills the picture), painted at
`OVERSAMPLING` times the size and scaled down, so that edges are smooth. Nothing here opens a display unless a window is
asked for.
"""

import os
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from envs.engine.colors import INK, MUTED, PAPER, Color

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
try:
    import pygame
except ImportError as error:
    raise ImportError("drawing needs pygame: pip install pygame-ce") from error

Point = Sequence[float]
OVERSAMPLING = 4
CAPTION_SIZE, CAPTION_MARGIN = 20, 8


class Canvas:
    """A picture of `size` = (width, height) pixels.

    Args:
        size: in pixels.
        window: the title of a window to show the picture in; None stays off screen.
        fps: pictures a second that `show` keeps to in a window.

    Attributes:
        closed: the window's close button or Escape was pressed.
    """

    def __init__(self, size: tuple[int, int], window: str | None = None, fps: int = 30) -> None:
        pygame.font.init()
        self.size, self.fps = size, fps
        self.closed = False
        self._large = pygame.Surface((size[0] * OVERSAMPLING, size[1] * OVERSAMPLING), 0, 32)
        self._fonts: dict[int, pygame.font.Font] = {}
        self._screen: Any = None
        self._clock = pygame.time.Clock()
        if window is not None:
            pygame.display.init()
            self._screen = pygame.display.set_mode(size)
            pygame.display.set_caption(window)
        self.view(0, size[1], size[0], 0)
        self.fill(PAPER)

    def view(self, left: float, bottom: float, right: float, top: float) -> None:
        """Which part of the world fills the picture; y grows upwards where top > bottom, else downwards."""
        width, height = self._large.get_size()
        self._scale = width / (right - left), height / (bottom - top)
        self._origin = left, top

    def _at(self, point: Point) -> tuple[float, float]:
        return (point[0] - self._origin[0]) * self._scale[0], (point[1] - self._origin[1]) * self._scale[1]

    def _length(self, length: float) -> int:
        return max(1, round(length * abs(self._scale[0])))

    def fill(self, color: Color) -> None:
        """Paints the whole picture."""
        self._large.fill(color)

    def rectangle(self, corner: Point, other: Point, color: Color, radius: float = 0, width: float = 0) -> None:
        """Between two opposite corners; `radius` rounds them; `width` 0 fills it, else draws its edge."""
        (x0, y0), (x1, y1) = self._at(corner), self._at(other)
        left, top = round(min(x0, x1)), round(min(y0, y1))
        box = (left, top, max(1, round(max(x0, x1)) - left), max(1, round(max(y0, y1)) - top))
        edge = self._length(width) if width else 0
        pygame.draw.rect(self._large, color, box, edge, border_radius=self._length(radius) if radius else 0)

    def circle(self, center: Point, radius: float, color: Color, width: float = 0) -> None:
        """`width` 0 fills it, else draws its edge."""
        edge = self._length(width) if width else 0
        pygame.draw.circle(self._large, color, self._at(center), self._length(radius), edge)

    def line(self, start: Point, end: Point, color: Color, width: float) -> None:
        """A stroke with round ends."""
        self.lines((start, end), color, width)

    def lines(self, points: Sequence[Point], color: Color, width: float) -> None:
        """A stroke through the points, round at joints and ends."""
        thickness = self._length(width)
        spots = [np.asarray(self._at(point)) for point in points]
        for start, end in pairwise(spots):
            along = end - start
            across = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-9) * thickness / 2
            corners = [start + across, end + across, end - across, start - across]
            pygame.draw.polygon(self._large, color, [tuple(corner) for corner in corners])
        for spot in spots:
            pygame.draw.circle(self._large, color, tuple(spot), thickness / 2)

    def polygon(self, points: Sequence[Point], color: Color) -> None:
        """Filled."""
        pygame.draw.polygon(self._large, color, [self._at(point) for point in points])

    def arrow(self, start: Point, end: Point, color: Color, width: float) -> None:
        """A stroke with a head at `end`, three strokes wide."""
        tip, tail = np.asarray(end, float), np.asarray(start, float)
        along = tip - tail
        length = float(np.hypot(*along))
        if length == 0:
            return
        along /= length
        head = min(3 * width, length)
        neck, across = tip - along * head, np.array([-along[1], along[0]]) * head * 0.6
        self.line(start, tuple(neck), color, width)
        self.polygon([tuple(tip), tuple(neck + across), tuple(neck - across)], color)

    def text(self, words: str, at: Point, size: int, color: Color = INK, align: str = "left") -> None:
        """One line `size` pixels high, its middle at `at`, from there to the right, the left, or both.

        Args:
            align: "left", "right" or "center": which part of the line is at `at`.

        Raises:
            ValueError: any other alignment.
        """
        if align not in ("left", "center", "right"):
            raise ValueError(f'align must be "left", "center" or "right", got {align!r}')
        drawn = self._font(size).render(words, True, color)
        x, y = self._at(at)
        offset = {"left": 0.0, "center": drawn.get_width() / 2, "right": float(drawn.get_width())}[align]
        self._large.blit(drawn, (round(x - offset), round(y - drawn.get_height() / 2)))

    def caption(self, words: str, color: Color = MUTED) -> None:
        """Small print in the lower left corner."""
        drawn = self._font(CAPTION_SIZE).render(words, True, color)
        margin = CAPTION_MARGIN * OVERSAMPLING
        self._large.blit(drawn, (margin, self._large.get_height() - drawn.get_height() - margin))

    def _font(self, size: int) -> Any:
        if size not in self._fonts:
            self._fonts[size] = pygame.font.Font(None, size * OVERSAMPLING)
        return self._fonts[size]

    def pixels(self) -> np.ndarray:
        """The picture, uint8 `[height, width, 3]`."""
        small = pygame.transform.smoothscale(self._large, self.size)
        flat = np.frombuffer(pygame.image.tobytes(small, "RGB"), np.uint8)
        return flat.reshape(self.size[1], self.size[0], 3).copy()

    def show(self) -> None:
        """Brings the picture into the window, keeps its pace and notes when it is closed; off screen does nothing."""
        if self._screen is None:
            return
        pygame.transform.smoothscale(self._large, self.size, self._screen)
        pygame.display.flip()
        self._clock.tick(self.fps)
        for event in pygame.event.get():
            escape = event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE
            self.closed |= event.type == pygame.QUIT or escape

    def close(self) -> None:
        """Closes the window, if there is one."""
        if self._screen is not None:
            pygame.display.quit()
            self._screen = None
