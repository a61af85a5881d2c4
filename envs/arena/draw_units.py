"""How everything that stands on the map looks: heroes, creeps, towers, neutrals, wards, and the marks they bear."""

from typing import TYPE_CHECKING

import numpy as np

from envs.arena import data
from envs.arena.draw_glyphs import hero_symbol
from envs.arena.draw_scene import Scene
from envs.engine.colors import BLUE, GOLD, INK, NIGHT, ORANGE, WHITE, Color, mix

if TYPE_CHECKING:
    from envs.engine.canvas import Canvas

Spot = tuple[float, float]
HERO_RADIUS, CREEP_RADIUS = 0.84, 0.42
HEALTH, HURT, MANA, TROUGH = (112, 178, 92), (214, 92, 72), (96, 156, 220), (38, 42, 50)
STONES, STONES_DARK = (214, 208, 196), (150, 144, 134)


def paint_units(canvas: "Canvas", scene: Scene) -> None:
    """All that the scene shows: structures, then the small, then heroes; of each the upper first."""
    order = sorted(np.flatnonzero(scene.shown).tolist(), key=lambda unit: (_layer_of(scene, unit), scene.y[unit]))
    if scene.team >= 0:
        _ghosts(canvas, scene)
    for seat in scene.seats:
        _grave(canvas, scene, scene.unit(seat))
    for unit in order:
        kind = int(scene.kind[unit])
        if kind == data.HERO:
            _hero(canvas, scene, unit)
        elif kind == data.BARRACKS:
            _barracks(canvas, scene, unit)
        elif kind == data.ANCIENT:
            _ancient(canvas, scene, unit)
        elif data.TOWER_1 <= kind <= data.TOWER_4:
            _tower(canvas, scene, unit)
        elif kind == data.WARD:
            _ward(canvas, scene, unit)
        else:
            _creature(canvas, scene, unit, kind)
    for unit in order:
        _marks(canvas, scene, unit)
        _bars(canvas, scene, unit)


def _layer_of(scene: Scene, unit: int) -> int:
    kind = scene.kind[unit]
    return 2 if kind == data.HERO else 0 if data.TOWER_1 <= kind <= data.ANCIENT else 1


def _hero(canvas: "Canvas", scene: Scene, unit: int) -> None:
    """A token in the team's colour with the hero's symbol, and a beak where it faces."""
    seat, (x, y) = scene.seat(unit), scene.at(unit)
    radius, color = HERO_RADIUS * scene.scale, scene.color(unit)
    fx, fy = float(scene.state.facing_x[seat]), float(scene.state.facing_y[seat])
    canvas.circle((x + 0.1 * radius, y + 0.22 * radius), 1.12 * radius, NIGHT, alpha=70)
    if scene.state.might[int(scene.faction[unit])] > 0:
        canvas.circle((x, y), 1.45 * radius, GOLD, alpha=90)
    beak = [(x + 1.62 * radius * fx, y + 1.62 * radius * fy)]
    for side in (-0.78, 0.78):
        beak.append((x + radius * (0.85 * fx - side * fy), y + radius * (0.85 * fy + side * fx)))
    canvas.polygon(beak, WHITE)
    canvas.circle((x, y), 1.14 * radius, WHITE)
    canvas.circle((x, y), radius, color)
    hero_symbol(canvas, int(scene.state.hero[seat]), (x, y), 0.92 * radius)


def _marks(canvas: "Canvas", scene: Scene, unit: int) -> None:
    """Shield: a ring. Slow: frost. Burn: flames. Stun: stars above. Of a hero, its recall."""
    state, (x, y), hero = scene.state, scene.at(unit), scene.kind[unit] == data.HERO
    radius = scene.scale * (HERO_RADIUS if hero else 1.2 * CREEP_RADIUS)
    if hero:
        _recall(canvas, scene, scene.seat(unit), (x, y), radius)
    if state.shield[unit] > 0:
        canvas.circle((x, y), 1.5 * radius, WHITE, alpha=34)
        canvas.circle((x, y), 1.5 * radius, mix(BLUE, WHITE, 0.7), width=0.12 * radius)
    if state.slow[unit] > 0:
        for turn in np.arange(6) * np.pi / 3 + 0.5:
            tip = x + 1.3 * radius * np.cos(turn), y + 1.3 * radius * np.sin(turn)
            canvas.circle(tip, 0.2 * radius, (196, 226, 244))
    if state.burn_ticks[unit] > 0:
        for i in (-1, 0, 1):
            foot, height = x + 0.55 * i * radius, (1.0 - 0.25 * abs(i)) * radius
            flame = [(foot - 0.28 * radius, y + 0.95 * radius), (foot + 0.28 * radius, y + 0.95 * radius),
                     (foot + 0.08 * radius, y + 0.95 * radius - height)]  # fmt: skip
            canvas.polygon(flame, ORANGE)
            canvas.circle((foot, y + 0.95 * radius), 0.27 * radius, GOLD)
    if state.stun[unit] > 0:
        for i in range(3):
            turn = 2 * np.pi * (i / 3 + scene.tick / 12)
            star = x + 0.95 * radius * np.cos(turn), y - 1.25 * radius + 0.3 * radius * np.sin(turn)
            canvas.circle(star, 0.3 * radius, INK)
            canvas.circle(star, 0.22 * radius, GOLD)


def _recall(canvas: "Canvas", scene: Scene, seat: int, at: Spot, radius: float) -> None:
    """The part of the channel that is done, as an arc."""
    share = int(scene.state.recall[seat]) / max(int(scene.params.recall_ticks), 1)
    if share > 0:
        canvas.circle(at, 1.9 * radius, mix(BLUE, WHITE, 0.5), alpha=36)
        canvas.circle(at, 1.9 * radius, mix(BLUE, WHITE, 0.7), width=0.1 * radius)
        canvas.arc(at, 1.85 * radius, 0, min(share, 1), mix(BLUE, WHITE, 0.2), 0.24 * radius)


def _grave(canvas: "Canvas", scene: Scene, unit: int) -> None:
    """A stone where a hero fell, until it comes back."""
    if scene.health[unit] > 0 or not scene.seen[unit]:
        return
    (x, y), size = scene.at(unit), 0.62 * scene.scale
    canvas.circle((x + 0.15 * size, y + size), 0.9 * size, NIGHT, alpha=70)
    for grow, color in ((1.25, INK), (1.0, mix(scene.color(unit), STONES, 0.6))):
        canvas.circle((x, y - 0.2 * size), 0.62 * size * grow, color)
        edge = 0.62 * size * grow
        canvas.rectangle((x - edge, y - 0.2 * size), (x + edge, y + 0.7 * size + grow * 0.3 * size), color)
    canvas.rectangle((x - 0.1 * size, y - 0.5 * size), (x + 0.1 * size, y + 0.5 * size), INK)
    canvas.rectangle((x - 0.32 * size, y - 0.25 * size), (x + 0.32 * size, y - 0.05 * size), INK)


def _ghosts(canvas: "Canvas", scene: Scene) -> None:
    """Where enemy heroes out of sight were last seen."""
    for seat in scene.seats:
        unit = scene.unit(seat)
        away = scene.tick - int(scene.state.known_tick[seat])
        if seat // scene.team_size == scene.team or scene.seen[unit] or scene.health[unit] <= 0 or away > 150:
            continue
        spot = float(scene.state.known_x[seat]), float(scene.state.known_y[seat])
        radius = HERO_RADIUS * scene.scale
        canvas.circle(spot, radius, scene.color(unit), width=0.14 * radius)
        hero_symbol(canvas, int(scene.state.hero[seat]), spot, 0.85 * radius, scene.color(unit))


def _creature(canvas: "Canvas", scene: Scene, unit: int, kind: int) -> None:
    """Melee creeps are squares, ranged ones triangles, beasts have ears, the boss horns."""
    (x, y), size = scene.at(unit), CREEP_RADIUS * scene.scale
    color = scene.color(unit)
    dark, light = mix(color, INK, 0.45), mix(color, WHITE, 0.12)
    if kind == data.RANGED:
        for radius, paint in ((1.35 * size, dark), (0.95 * size, light)):
            low = y + 0.7 * radius
            canvas.polygon([(x, y - radius), (x + 0.95 * radius, low), (x - 0.95 * radius, low)], paint)
    elif kind == data.MELEE:
        for radius, paint in ((size, dark), (0.72 * size, light)):
            canvas.rectangle((x - radius, y - radius), (x + radius, y + radius), paint, radius=0.3 * size)
    else:
        _beast(canvas, (x, y), size * (3.2 if kind == data.BOSS else 1.35), dark, light)


def _beast(canvas: "Canvas", at: Spot, size: float, dark: Color, light: Color) -> None:
    x, y = at
    for side in (-1, 1):
        canvas.polygon([(x + 0.2 * side * size, y - 0.6 * size), (x + 0.95 * side * size, y - 0.2 * size),
                        (x + 0.95 * side * size, y - 1.35 * size)], dark)  # fmt: skip
    canvas.circle(at, size, dark)
    canvas.circle(at, 0.78 * size, light)
    for side in (-1, 1):
        canvas.circle((x + 0.3 * side * size, y - 0.1 * size), 0.17 * size, WHITE)
    canvas.rectangle((x - 0.35 * size, y + 0.32 * size), (x + 0.35 * size, y + 0.46 * size), dark)


def _tower(canvas: "Canvas", scene: Scene, unit: int) -> None:
    """A battlement from above with the team's flag of light; closed ones are dim."""
    (x, y), size, color = scene.at(unit), 0.95 * scene.scale, _standing(scene, unit)
    canvas.circle((x + 0.2 * size, y + 0.3 * size), 1.1 * size, NIGHT, alpha=80)
    for turn in range(8):
        angle = np.pi / 4 * (turn + 0.5)
        canvas.circle((x + 0.92 * size * np.cos(angle), y + 0.92 * size * np.sin(angle)), 0.3 * size, STONES_DARK)
    canvas.circle((x, y), size, STONES)
    canvas.circle((x, y), 0.74 * size, STONES_DARK)
    canvas.polygon([(x, y - 0.62 * size), (x + 0.5 * size, y), (x, y + 0.62 * size), (x - 0.5 * size, y)], color)


def _standing(scene: Scene, unit: int) -> Color:
    return scene.color(unit) if scene.state.open[unit] else mix(scene.color(unit), STONES, 0.45)


def _barracks(canvas: "Canvas", scene: Scene, unit: int) -> None:
    """A roofed house."""
    (x, y), size, color = scene.at(unit), scene.scale, _standing(scene, unit)
    canvas.rectangle((x - 0.8 * size, y - 0.5 * size), (x + 1.15 * size, y + 0.95 * size), NIGHT, 0.1 * size, alpha=80)
    canvas.rectangle((x - 0.95 * size, y - 0.72 * size), (x + 0.95 * size, y + 0.72 * size), STONES, 0.1 * size)
    canvas.polygon([(x - 0.95 * size, y), (x - 0.6 * size, y - 0.72 * size), (x + 0.6 * size, y - 0.72 * size),
                    (x + 0.95 * size, y)], color)  # fmt: skip
    canvas.polygon([(x - 0.95 * size, y), (x - 0.6 * size, y + 0.72 * size), (x + 0.6 * size, y + 0.72 * size),
                    (x + 0.95 * size, y)], mix(color, INK, 0.25))  # fmt: skip


def _ancient(canvas: "Canvas", scene: Scene, unit: int) -> None:
    """A great crystal on its plinth."""
    (x, y), size, color = scene.at(unit), 1.5 * scene.scale, _standing(scene, unit)
    canvas.circle((x + 0.15 * size, y + 0.25 * size), 1.1 * size, NIGHT, alpha=80)
    canvas.circle((x, y), size, STONES_DARK)
    canvas.circle((x, y), 0.86 * size, STONES)
    top, bottom, side = y - 1.15 * size, y + 0.72 * size, 0.55 * size
    canvas.polygon(
        [(x, top), (x + side, y - 0.3 * size), (x, bottom), (x - side, y - 0.3 * size)], mix(color, WHITE, 0.25)
    )
    canvas.polygon([(x, top), (x + side, y - 0.3 * size), (x, bottom)], mix(color, INK, 0.12))
    canvas.polygon([(x, top), (x + 0.2 * size, y - 0.3 * size), (x, bottom), (x - 0.2 * size, y - 0.3 * size)], color)


def _ward(canvas: "Canvas", scene: Scene, unit: int) -> None:
    """An eye."""
    (x, y), size, color = scene.at(unit), 0.55 * scene.scale, scene.color(unit)
    almond = [(x - size, y), (x, y - 0.62 * size), (x + size, y), (x, y + 0.62 * size)]
    canvas.polygon([(x + 1.3 * (a - x), y + 1.3 * (b - y)) for a, b in almond], INK)
    canvas.polygon(almond, WHITE)
    canvas.circle((x, y), 0.36 * size, color)


def _bars(canvas: "Canvas", scene: Scene, unit: int) -> None:
    """Health; a hero's level and mana too; of small units only where some is lacking."""
    kind, (x, y), share = int(scene.kind[unit]), scene.at(unit), scene.health_of(unit)
    if kind == data.HERO:
        _hero_bars(canvas, scene, unit, share)
        return
    if kind == data.WARD or (share >= 1 and kind != data.BOSS and not data.TOWER_1 <= kind <= data.ANCIENT):
        return
    half, height, above = 0.5, 0.17, 0.72
    if data.TOWER_1 <= kind <= data.ANCIENT or kind == data.BOSS:
        half, height, above = 1.1, 0.26, 1.6 if kind <= data.BARRACKS else 2.2
    half, height, above = half * scene.scale, height * scene.scale, above * scene.scale
    bar(canvas, (x - half, y - above), (2 * half, height), share, scene.color(unit))


def _hero_bars(canvas: "Canvas", scene: Scene, unit: int, share: float) -> None:
    seat, (x, y), size = scene.seat(unit), scene.at(unit), scene.scale
    left, top, width = x - 0.8 * size, max(y - 1.85 * size, scene.top + 0.2), 2.05 * size
    mana = int(scene.state.mana[seat]) / max(int(scene.state.max_mana[seat]), 1)
    canvas.rectangle((left - 0.1 * size, top - 0.1 * size), (left + width + 0.1 * size, top + 0.66 * size), TROUGH,
                     radius=0.1 * size)  # fmt: skip
    color = HEALTH if share > 0.35 else HURT
    canvas.rectangle((left, top), (left + width * share, top + 0.34 * size), color)
    shield = min(int(scene.state.shield[unit]) / max(int(scene.state.max_health[unit]), 1), share)
    if shield > 0:
        canvas.rectangle((left, top), (left + width * shield, top + 0.1 * size), WHITE)
    canvas.rectangle((left, top + 0.4 * size), (left + width * mana, top + 0.56 * size), MANA)
    badge = left - 0.32 * size, top + 0.28 * size
    canvas.circle(badge, 0.55 * size, TROUGH)
    canvas.circle(badge, 0.46 * size, mix(scene.color(unit), INK, 0.2))
    words = str(int(scene.state.level[seat]))
    canvas.text(words, badge, max(10, round(0.9 * size / canvas.pixel())), WHITE, align="center")


def bar(canvas: "Canvas", corner: Spot, size: Spot, share: float, color: Color) -> None:
    """A trough from a corner rightwards, filled to a share."""
    (x, y), (width, height), edge = corner, size, 0.2 * size[1]
    canvas.rectangle((x - edge, y - edge), (x + width + edge, y + height + edge), TROUGH)
    if share > 0:
        canvas.rectangle((x, y), (x + width * min(share, 1), y + height), color)
