"""What flies and glows: shots, spells under way and just in effect, bolts of a tower, and the fog over all."""

from typing import TYPE_CHECKING

import numpy as np

from envs.arena import data
from envs.arena.draw_scene import Scene
from envs.engine.colors import GOLD, INK, NIGHT, ORANGE, WHITE, Color, mix

if TYPE_CHECKING:
    from envs.engine.canvas import Canvas

FIRE, FROST, HEAL, POISON, STRIKE = ORANGE, (150, 204, 238), (130, 206, 120), (150, 190, 70), (236, 226, 200)
FOG_ALPHA = 150


def spell_color(scene: Scene, ability: int) -> Color:
    """By what a spell does: heals, burns, slows or stuns, or just hurts."""
    params = scene.params
    if params.ability_heal[ability] > 0 or params.ability_shield[ability] > 0:
        return HEAL if params.ability_heal[ability] > 0 else FROST
    if params.ability_burn[ability] > 0:
        return POISON if params.ability_radius[ability] == 0 else FIRE
    if params.ability_slow[ability] > 0:
        return FROST
    return GOLD if params.ability_stun[ability] > 0 else FIRE


def paint_ground_effects(canvas: "Canvas", scene: Scene) -> None:
    """Circles under the units: spells on their way grow, those in effect fade."""
    for seat in scene.seats:
        if glowing := scene.just_cast(seat):
            _glow(canvas, scene, seat, *glowing)
        if begun := scene.under_way(seat):
            _omen(canvas, scene, seat, *begun)


def _hidden(scene: Scene, seat: int, ability: int) -> bool:
    """Whether the team sees neither the caster nor, of a spell at a spot, that spot."""
    if scene.seen[scene.unit(seat)]:
        return False
    at_spot = scene.params.ability_aim[ability] == data.SPOT
    return not (at_spot and scene.is_lit(*scene.spot_of(seat, ability)))


def _omen(canvas: "Canvas", scene: Scene, seat: int, ability: int, share: float) -> None:
    radius = float(scene.params.ability_radius[ability])
    if radius <= 0 or _hidden(scene, seat, ability):
        return
    spot, color = scene.spot_of(seat, ability), spell_color(scene, ability)
    canvas.circle(spot, radius, color, alpha=60)
    canvas.circle(spot, max(radius * share, 0.1), color, alpha=110)
    canvas.circle(spot, radius, mix(color, INK, 0.2), width=0.16 * scene.scale)


def _glow(canvas: "Canvas", scene: Scene, seat: int, ability: int, share: float) -> None:
    if _hidden(scene, seat, ability):
        return
    radius, color = float(scene.params.ability_radius[ability]), spell_color(scene, ability)
    spot, alpha = scene.spot_of(seat, ability), round(190 * (1 - share))
    aim = int(scene.params.ability_aim[ability])
    if radius <= 0:
        radius = (2.0 + share) * scene.scale
    canvas.circle(spot, radius, color, alpha=alpha * 2 // 3)
    canvas.circle(spot, radius * (0.5 + 0.5 * share), WHITE, alpha=alpha // 2)
    canvas.circle(spot, radius, mix(color, WHITE, 0.3), width=0.24 * scene.scale, alpha=min(alpha + 60, 254))
    if aim in (data.FOE, data.FRIEND):
        caster = scene.at(scene.unit(seat))
        if scene.shown[scene.unit(seat)] and caster != spot:
            canvas.line(caster, spot, mix(color, WHITE, 0.3), 0.28 * scene.scale)


def paint_shots(canvas: "Canvas", scene: Scene) -> None:
    """Every shot on its way from attacker to victim, and a slash where one strikes at close quarters."""
    state = scene.state
    for unit in np.flatnonzero((np.asarray(state.shot_ticks) > 0) & scene.shown).tolist():
        victim = int(state.shot_victim[unit])
        if victim < 0 or (not scene.shown[victim] and scene.health[victim] > 0):
            continue
        time = max(int(state.shot_time[unit]), 1)
        (x0, y0), (x1, y1) = scene.at(unit), scene.at(victim)
        if time == 1:
            _slash(canvas, scene, unit, (x0, y0), (x1, y1))
        else:
            share = (time - int(state.shot_ticks[unit]) + 0.5) / time
            _shot(canvas, scene, unit, (x0 + (x1 - x0) * share, y0 + (y1 - y0) * share), (x1 - x0, y1 - y0))


def _shot(canvas: "Canvas", scene: Scene, unit: int, at: tuple[float, float], along: tuple[float, float]) -> None:
    """A streak with a head, larger from towers and heroes."""
    kind = scene.kind[unit]
    size = scene.scale * (0.42 if data.TOWER_1 <= kind <= data.TOWER_4 else 0.3 if kind == data.HERO else 0.17)
    color, length = mix(scene.color(unit), WHITE, 0.35), max(float(np.hypot(*along)), 1e-6)
    trail = min(5 * size, 0.5 * length)
    tail = at[0] - trail * along[0] / length, at[1] - trail * along[1] / length
    canvas.line(tail, at, mix(color, NIGHT, 0.25), 0.7 * size)
    canvas.circle(at, 1.25 * size, INK)
    canvas.circle(at, size, mix(color, WHITE, 0.5))


def _slash(canvas: "Canvas", scene: Scene, unit: int, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A bright curve on the victim's near side."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = max(float(np.hypot(dx, dy)), 1e-6)
    dx, dy = dx / length, dy / length
    size = scene.scale * (0.95 if scene.kind[unit] in (data.HERO, data.BOSS) else 0.5)
    middle = start[0] + dx * length * 0.62, start[1] + dy * length * 0.62
    points = [
        (middle[0] - size * side * dy - 0.35 * size * side * side * dx,
         middle[1] + size * side * dx - 0.35 * size * side * side * dy)
        for side in (-1, -0.5, 0, 0.5, 1)
    ]  # fmt: skip
    canvas.lines(points, STRIKE, 0.2 * size)


def paint_fog(canvas: "Canvas", scene: Scene) -> None:
    """Darkness over what the team does not see."""
    if scene.team < 0:
        return
    half_width, half_height = float(scene.params.half_width), float(scene.params.half_height)
    alphas = np.where(scene.lit, 0, FOG_ALPHA)
    canvas.shade((-half_width, -half_height), (half_width, half_height), alphas, NIGHT)
