"""How the arena looks: the whole field, and beside or below it the score. The teams are blue and orange.

`canvas.look` says whose eyes see: 0 a spectator's, 1 the first team's, 2 the second's. What a team does not see is
dark, and its enemies there are not drawn.
"""

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.arena import draw_terrain
from envs.arena.draw_effects import paint_fog, paint_ground_effects, paint_shots
from envs.arena.draw_panel import PANEL, RULE, Layout, paint_feed, paint_header, paint_minimap, paint_team, start
from envs.arena.draw_scene import Scene
from envs.arena.draw_units import paint_units
from envs.engine.colors import NIGHT

if TYPE_CHECKING:
    from envs.engine.canvas import Canvas

SCREEN = (1280, 800)
CELL_PIXELS = 800 / 60
"""Symbols keep about the size that they have at so many pixels a cell, where cells are larger."""
WIDE = 1.6
LOOKS = 3


def draw(canvas: "Canvas", state: Any, params: Any, tables: Any) -> None:
    """Paints one record."""
    edges = draw_terrain.edges(params, tables.cells)
    layout = lay_out(edges)
    pixels = layout.field[2] / (edges[2] - edges[0])
    scene = Scene(state, params, min(canvas.look, LOOKS - 1) - 1, (CELL_PIXELS / pixels) ** 0.55, edges[1])
    key = zlib.crc32(np.asarray(tables.cells).tobytes()), *params.slot_kind.tolist()
    canvas.backdrop(key, lambda: _still(canvas, params, tables, edges, layout))
    _field(canvas, edges, layout)
    paint_ground_effects(canvas, scene)
    paint_fog(canvas, scene)
    paint_units(canvas, scene)
    paint_shots(canvas, scene)
    paint_header(canvas, scene, layout.header)
    for team in range(2):
        paint_team(canvas, scene, team, layout.teams[team])
    paint_feed(canvas, scene, layout.feed)
    if layout.minimap:
        paint_minimap(canvas, scene, layout.minimap, edges)
    canvas.view(0, SCREEN[1], SCREEN[0], 0)


def lay_out(edges: tuple[float, float, float, float]) -> Layout:
    """Where everything goes: beside a square map; below a wide one, which then has no map in little."""
    left, top, right, bottom = edges
    width, height = SCREEN
    aspect = (right - left) / (bottom - top)
    if aspect > WIDE:
        below = width / aspect
        cards, space = below + 100, height - below - 108
        teams = (14, cards, 470, space), (width - 484, cards, 470, space)
        return Layout((0, 0, width, below), (340, below + 10, 600, 88), teams, (500, cards + 6, 280, space - 6), None)
    side = min(width - 480, height * aspect)
    x, panel = side + 10, width - side - 20
    teams = (x, 90, panel, 254), (x, 346, panel, 254)
    little = 192.0, 192 / aspect
    return Layout((0, (height - side / aspect) / 2, side, side / aspect), (side, 0, width - side, 88), teams,
                  (x + 200, 606, panel - 200, 188), (x, 604, *little))  # fmt: skip


def view_field(canvas: "Canvas", params: Any, tables: Any) -> None:
    """Sets the view to the field as `draw` has it: cells, the middle of the map at (0, 0), y downwards."""
    edges = draw_terrain.edges(params, tables.cells)
    _field(canvas, edges, lay_out(edges))


def place_at(params: Any, cells: np.ndarray, pixel: tuple[float, float]) -> tuple[float, float] | None:
    """The place on the map, in cells, that a pixel of the picture shows; None beside the field."""
    left, top, right, bottom = draw_terrain.edges(params, cells)
    x, y, width, height = lay_out((left, top, right, bottom)).field
    across, down = (pixel[0] - x) / width, (pixel[1] - y) / height
    if not (0 <= across <= 1 and 0 <= down <= 1):
        return None
    return left + across * (right - left), top + down * (bottom - top)


def _field(canvas: "Canvas", edges: tuple[float, float, float, float], layout: Layout) -> None:
    left, top, right, bottom = edges
    canvas.view(left, bottom, right, top, layout.field)


def _still(
    canvas: "Canvas", params: Any, tables: Any, edges: tuple[float, float, float, float], layout: Layout
) -> None:
    """What never moves: the ground, large and in little, and the panel."""
    canvas.view(0, SCREEN[1], SCREEN[0], 0)
    canvas.fill(PANEL)
    _field(canvas, edges, layout)
    draw_terrain.paint(canvas, params, tables)
    if layout.minimap:
        x, y, width, height = layout.minimap
        start(canvas, (x - 2, y - 2, width + 4, height + 4))
        canvas.fill(RULE)
        canvas.view(edges[0], edges[3], edges[2], edges[1], layout.minimap)
        draw_terrain.paint(canvas, params, tables)
        canvas.rectangle((edges[0], edges[1]), (edges[2], edges[3]), NIGHT, alpha=70)
