"""What every renderer draws on: a picture off screen, or a window.

Shapes are given in world coordinates (`view` says which part of the world fills the picture, or a box of it), painted
larger and scaled down, so that edges are smooth. An `alpha` below 255 lets what lies below shine through. Nothing here
opens a display unless a window is asked for.
"""

import math
import os
from collections.abc import Callable, Hashable, Sequence
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
Box = tuple[float, float, float, float]
OVERSAMPLING, OVERSAMPLING_LARGE, LARGE = 4, 2, 640_000
"""How much larger is painted: small pictures, and those of `LARGE` pixels or more."""
KEPT_BACKDROPS = 8
CAPTION_SIZE, CAPTION_MARGIN = 20, 8


class Canvas:
    """A picture of `size` = (width, height) pixels.

    Args:
        size: in pixels.
        window: the title of a window to show the picture in; None stays off screen.
        fps: pictures a second that `show` keeps to in a window.

    Attributes:
        closed: the window's close button or Escape was pressed.
        look: which look of the picture is asked for, from 0; F1, F2, ... in the window choose it. What each look is, if
            there are several, is up to the renderer.
    """

    _windows = 0

    def __init__(self, size: tuple[int, int], window: str | None = None, fps: int = 30) -> None:
        pygame.font.init()
        self.size, self.fps = size, fps
        self.closed, self.look = False, 0
        self._factor = OVERSAMPLING if size[0] * size[1] < LARGE else OVERSAMPLING_LARGE
        self._large = pygame.Surface((size[0] * self._factor, size[1] * self._factor), 0, 32)
        self._backdrops: dict[Hashable, Any] = {}
        self._fonts: dict[int, pygame.font.Font] = {}
        self._screen: Any = None
        self._clock = pygame.time.Clock()
        if window is not None:
            pygame.display.init()
            Canvas._windows += 1
            self._screen = pygame.display.set_mode(size)
            pygame.display.set_caption(window)
        self.view(0, size[1], size[0], 0)
        self.fill(PAPER)

    def view(self, left: float, bottom: float, right: float, top: float, box: Box | None = None) -> None:
        """Which part of the world fills the picture; y grows upwards where top > bottom, else downwards.

        Args:
            left, bottom, right, top: the edges of that part.
            box: (x, y, width, height) in pixels from the upper left: fills this box instead, and paints only in it.
        """
        x, y, width, height = (self._factor * length for length in (box or (0, 0, *self.size)))
        self._scale = width / (right - left), height / (bottom - top)
        self._origin = left - x / self._scale[0], top - y / self._scale[1]
        self._large.set_clip(pygame.Rect(round(x), round(y), round(width), round(height)))

    def pixel(self) -> float:
        """How wide a pixel of the picture is in the world."""
        return self._factor / abs(self._scale[0])

    def _at(self, point: Point) -> tuple[float, float]:
        x, y = (point[0] - self._origin[0]) * self._scale[0], (point[1] - self._origin[1]) * self._scale[1]
        return float(x), float(y)  # pygame takes no NumPy numbers

    def _length(self, length: float) -> int:
        return max(1, round(length * abs(self._scale[0])))

    def fill(self, color: Color) -> None:
        """Paints the whole picture, or the box of the view."""
        self._large.fill(color)

    def backdrop(self, key: Hashable, paint: Callable[[], None]) -> None:
        """Calls `paint` the first time that a key comes, and paints the same picture when it comes again."""
        clip = self._large.get_clip()
        if key not in self._backdrops:
            paint()
            if len(self._backdrops) >= KEPT_BACKDROPS:
                self._backdrops.pop(next(iter(self._backdrops)))
            self._backdrops[key] = self._large.copy()
        self._large.set_clip(None)
        self._large.blit(self._backdrops[key], (0, 0))
        self._large.set_clip(clip)

    def shade(self, corner: Point, other: Point, alphas: np.ndarray, color: Color) -> None:
        """A colour over the box between two corners, as thick as a grid of alphas `[rows, columns]` says, 0..255.

        Row 0 is the upper one; between the cells' middles the alpha changes smoothly.
        """
        (x0, y0), (x1, y1) = self._at(corner), self._at(other)
        box = pygame.Rect(round(min(x0, x1)), round(min(y0, y1)), round(abs(x1 - x0)), round(abs(y1 - y0)))
        rows, columns = alphas.shape
        pixels = np.empty((rows, columns, 4), np.uint8)
        pixels[..., :3], pixels[..., 3] = color, alphas
        small = pygame.image.frombuffer(pixels.tobytes(), (columns, rows), "RGBA")
        self._large.blit(pygame.transform.smoothscale(small, box.size), box.topleft)

    def _through(self, box: Any, color: Color, alpha: int, paint: Callable[[Any, Any, float, float], None]) -> None:
        """Calls `paint(surface, color, left, top)` on a layer over a box of the surface, and lays it on translucent."""
        box = box.clip(self._large.get_clip())
        if box.width <= 0 or box.height <= 0:
            return
        layer = pygame.Surface(box.size, pygame.SRCALPHA)
        paint(layer, (*color, alpha), *box.topleft)
        self._large.blit(layer, box.topleft)

    def rectangle(
        self, corner: Point, other: Point, color: Color, radius: float = 0, width: float = 0, alpha: int = 255
    ) -> None:
        """Between two opposite corners; `radius` rounds them; `width` 0 fills it, else draws its edge."""
        (x0, y0), (x1, y1) = self._at(corner), self._at(other)
        left, top = round(min(x0, x1)), round(min(y0, y1))
        box = pygame.Rect(left, top, max(1, round(max(x0, x1)) - left), max(1, round(max(y0, y1)) - top))
        edge, corners = self._length(width) if width else 0, self._length(radius) if radius else 0
        if alpha >= 255:
            pygame.draw.rect(self._large, color, box, edge, border_radius=corners)
            return

        def paint(surface: Any, ink: Any, left: float, top: float) -> None:
            pygame.draw.rect(surface, ink, box.move(-left, -top), edge, border_radius=corners)

        self._through(box, color, alpha, paint)

    def circle(self, center: Point, radius: float, color: Color, width: float = 0, alpha: int = 255) -> None:
        """`width` 0 fills it, else draws its edge."""
        (x, y), reach = self._at(center), self._length(radius)
        edge = self._length(width) if width else 0
        if alpha >= 255:
            pygame.draw.circle(self._large, color, (x, y), reach, edge)
            return

        def paint(surface: Any, ink: Any, left: float, top: float) -> None:
            pygame.draw.circle(surface, ink, (x - left, y - top), reach, edge)

        self._through(_around([(x, y)], reach), color, alpha, paint)

    def arc(self, center: Point, radius: float, start: float, end: float, color: Color, width: float) -> None:
        """A part of a circle's edge, between two angles in turns, clockwise from the top of the picture."""
        steps = max(2, int(abs(end - start) * 48))
        turns = 2 * np.pi * np.linspace(start, end, steps + 1)
        up = -np.sign(self._scale[1])
        points = [(center[0] + radius * np.sin(turn), center[1] + up * radius * np.cos(turn)) for turn in turns]
        self.lines(points, color, width)

    def line(self, start: Point, end: Point, color: Color, width: float) -> None:
        """A stroke with round ends."""
        self.lines((start, end), color, width)

    def lines(self, points: Sequence[Point], color: Color, width: float) -> None:
        """A stroke through the points, round at joints and ends."""
        thickness = self._length(width)
        spots = [self._at(point) for point in points]
        for (x0, y0), (x1, y1) in pairwise(spots):
            half = thickness / 2 / max(math.hypot(x1 - x0, y1 - y0), 1e-9)
            dx, dy = (y0 - y1) * half, (x1 - x0) * half
            corners = [(x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy)]
            pygame.draw.polygon(self._large, color, corners)
        for spot in spots:
            pygame.draw.circle(self._large, color, spot, thickness / 2)

    def polygon(self, points: Sequence[Point], color: Color, alpha: int = 255) -> None:
        """Filled."""
        spots = [self._at(point) for point in points]
        if alpha >= 255:
            pygame.draw.polygon(self._large, color, spots)
            return

        def paint(surface: Any, ink: Any, left: float, top: float) -> None:
            pygame.draw.polygon(surface, ink, [(x - left, y - top) for x, y in spots])

        self._through(_around(spots, 1), color, alpha, paint)

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

    def text_width(self, words: str, size: int) -> float:
        """How wide `text` writes these words, in pixels."""
        return self._font(size).size(words)[0] / self._factor

    def caption(self, words: str, color: Color = MUTED) -> None:
        """Small print in the lower left corner."""
        drawn = self._font(CAPTION_SIZE).render(words, True, color)
        margin = CAPTION_MARGIN * self._factor
        self._large.blit(drawn, (margin, self._large.get_height() - drawn.get_height() - margin))

    def _font(self, size: int) -> Any:
        if size not in self._fonts:
            self._fonts[size] = pygame.font.Font(None, size * self._factor)
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
            key = event.key if event.type == pygame.KEYDOWN else None
            self.closed |= event.type == pygame.QUIT or key == pygame.K_ESCAPE
            if key is not None and pygame.K_F1 <= key <= pygame.K_F12:
                self.look = key - pygame.K_F1

    def close(self) -> None:
        """Closes the window, if there is one."""
        if self._screen is not None:
            self._screen = None
            Canvas._windows -= 1
            if not Canvas._windows:  # pygame has one window, which another canvas may show
                pygame.display.quit()


def _around(spots: Sequence[Point], reach: float) -> Any:
    """The rectangle around some spots and what lies within reach of them."""
    left, top = (math.floor(min(spot[axis] for spot in spots) - reach) - 1 for axis in (0, 1))
    right, bottom = (math.ceil(max(spot[axis] for spot in spots) + reach) + 1 for axis in (0, 1))
    return pygame.Rect(left, top, right - left, bottom - top)
