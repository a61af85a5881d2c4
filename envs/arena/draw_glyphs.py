"""Symbols of heroes and items: a few strokes each, within a circle of radius 1 around (0, 0), y downwards."""

from typing import TYPE_CHECKING

from envs.arena import data
from envs.engine.colors import BLUE, GOLD, GREEN, INK, LEAF, MUTED, RED, STONE, VIOLET, WHITE, Color, mix

if TYPE_CHECKING:
    from envs.engine.canvas import Canvas

Shape = list[tuple[float, float]]

HERO_SHAPES: dict[str, tuple[Shape, ...]] = {
    "archer": (
        [(0.62, 0), (0.16, -0.32), (0.16, 0.32)],
        [(-0.62, -0.09), (0.2, -0.09), (0.2, 0.09), (-0.62, 0.09)],
        [(-0.66, -0.36), (-0.42, -0.36), (-0.22, 0), (-0.42, 0.36), (-0.66, 0.36), (-0.48, 0)],
    ),
    "mage": (
        [(0, -0.74), (0.17, -0.17), (0.74, 0), (0.17, 0.17), (0, 0.74), (-0.17, 0.17), (-0.74, 0), (-0.17, -0.17)],
        [(0.36, -0.36), (0.12, 0), (0.36, 0.36), (0, 0.12), (-0.36, 0.36), (-0.12, 0), (-0.36, -0.36), (0, -0.12)],
    ),
    "guard": ([(-0.5, -0.52), (0, -0.68), (0.5, -0.52), (0.5, 0.06), (0, 0.72), (-0.5, 0.06)],),
    "healer": (
        [(-0.2, -0.62), (0.2, -0.62), (0.2, 0.62), (-0.2, 0.62)],
        [(-0.62, -0.2), (0.62, -0.2), (0.62, 0.2), (-0.62, 0.2)],
    ),
    "rogue": (
        [(0.66, -0.66), (0.58, -0.34), (-0.1, 0.3), (-0.3, 0.1), (0.34, -0.58)],
        [(-0.5, -0.02), (0.02, 0.5), (-0.12, 0.64), (-0.64, 0.12)],
        [(-0.34, 0.2), (-0.2, 0.34), (-0.52, 0.66), (-0.66, 0.52)],
    ),
}
ITEM_LOOKS: dict[str, tuple[Color, tuple[Shape, ...]]] = {
    "boots": (mix(GOLD, INK, 0.25), ([(-0.4, -0.7), (0.1, -0.7), (0.1, 0.1), (0.7, 0.3), (0.7, 0.65), (-0.4, 0.65)],)),
    "blade": (STONE, ([(0.6, -0.75), (0.7, -0.6), (-0.4, 0.6), (-0.7, 0.7), (-0.6, 0.4)],)),
    "vest": (LEAF, ([(-0.7, -0.6), (-0.25, -0.6), (0, -0.35), (0.25, -0.6), (0.7, -0.6), (0.5, 0.65), (-0.5, 0.65)],)),
    "tome": (BLUE, ([(-0.65, -0.55), (-0.06, -0.4), (-0.06, 0.6), (-0.65, 0.45)],
                    [(0.65, -0.55), (0.06, -0.4), (0.06, 0.6), (0.65, 0.45)])),
    "charm": (GREEN, ([(0, -0.7), (0.5, 0), (0, 0.7), (-0.5, 0)],)),
    "greatsword": (RED, ([(0, -0.85), (0.2, -0.6), (0.2, 0.3), (-0.2, 0.3), (-0.2, -0.6)],
                         [(-0.5, 0.3), (0.5, 0.3), (0.5, 0.48), (-0.5, 0.48)],
                         [(-0.1, 0.48), (0.1, 0.48), (0.1, 0.85), (-0.1, 0.85)])),
    "plate": (MUTED, ([(-0.55, -0.6), (0, -0.75), (0.55, -0.6), (0.55, 0.1), (0, 0.75), (-0.55, 0.1)],)),
    "staff": (VIOLET, ([(-0.7, 0.55), (0.2, -0.3), (0.35, -0.15), (-0.55, 0.7)],
                       [(0.4, -0.8), (0.75, -0.4), (0.4, 0), (0.05, -0.4)])),
}  # fmt: skip


def symbol(canvas: "Canvas", shapes: tuple[Shape, ...], at: tuple[float, float], size: float, color: Color) -> None:
    """Shapes of radius `size` around a place; the view's y must grow downwards."""
    for shape in shapes:
        canvas.polygon([(at[0] + size * x, at[1] + size * y) for x, y in shape], color)


def hero_symbol(canvas: "Canvas", hero: int, at: tuple[float, float], size: float, color: Color = WHITE) -> None:
    """A row of the heroes' table; one without a symbol has its initial."""
    name = data.HEROES[hero].name
    if name in HERO_SHAPES:
        symbol(canvas, HERO_SHAPES[name], at, size, color)
    else:
        canvas.text(name[0].upper(), at, round(1.6 * size / canvas.pixel()), color, align="center")


def item_symbol(canvas: "Canvas", item: int, at: tuple[float, float], size: float) -> None:
    """A tile with a row of the items' table; one without a symbol has two letters."""
    name = data.ITEMS[item].name
    color, shapes = ITEM_LOOKS.get(name, (STONE, ()))
    canvas.rectangle((at[0] - size, at[1] - size), (at[0] + size, at[1] + size), color, radius=0.3 * size)
    if shapes:
        symbol(canvas, shapes, at, 0.82 * size, WHITE)
    else:
        canvas.text(name[:2].title(), at, round(1.3 * size / canvas.pixel()), WHITE, align="center")
