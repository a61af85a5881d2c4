"""What stands beside the field: score and clock, a row a hero, the map in little, and the feed of events."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from envs.arena import data
from envs.arena.draw_glyphs import hero_symbol, item_symbol
from envs.arena.draw_scene import TEAM_COLORS, TEAM_NAMES, Scene
from envs.arena.draw_units import HEALTH, HURT, MANA, bar
from envs.arena.state import BOSS_SLAIN, EVENTS, FELL, KILLED, WARDED
from envs.engine.colors import GOLD, INK, MUTED, NIGHT, PAPER, SLATE, STONE, WHITE, Color, mix

if TYPE_CHECKING:
    from envs.engine.canvas import Box, Canvas

PANEL, CARD, RULE = NIGHT, mix(NIGHT, SLATE, 0.45), SLATE
TEXT, FAINT = PAPER, MUTED
ROW = 46
VIEWS = ("F1 · all seen", "F2 · blue's view", "F3 · orange's view")


class Layout(NamedTuple):
    """Boxes of the picture in pixels: (x, y, width, height). A map in little only beside a large map."""

    field: "Box"
    header: "Box"
    teams: "tuple[Box, Box]"
    feed: "Box"
    minimap: "Box | None"


def start(canvas: "Canvas", box: "Box") -> None:
    """Pixels of a box as the view's units, (0, 0) its upper left corner."""
    canvas.view(0, box[3], box[2], 0, box)


def paint_header(canvas: "Canvas", scene: Scene, box: "Box") -> None:
    """Kills of either team, the clock, and who is master of the boss."""
    start(canvas, box)
    width, middle = box[2], box[2] / 2
    for team, side in ((0, -1), (1, 1)):
        edge = 0 if team == 0 else width
        canvas.rectangle((edge, 0), (middle + side * 62, 62), mix(TEAM_COLORS[team], NIGHT, 0.25))
        align = "left" if team == 0 else "right"
        canvas.text(TEAM_NAMES[team], (edge - side * 14, 20), 24, WHITE, align=align)
        canvas.text(
            _standing(scene, team), (edge - side * 14, 44), 18, mix(WHITE, TEAM_COLORS[team], 0.35), align=align
        )
        kills = str(int(scene.state.team_kills[team]))
        canvas.text(kills, (middle + side * 84, 32), 44, WHITE, align="center")
    seconds = scene.tick // data.TICKS_PER_SECOND
    canvas.text(f"{seconds // 60:02d}:{seconds % 60:02d}", (middle, 26), 38, WHITE, align="center")
    canvas.text(VIEWS[scene.team + 1], (middle, 51), 15, FAINT, align="center")
    words = _boss(scene)
    if words:
        canvas.text(words, (middle, 75), 18, GOLD, align="center")


def _standing(scene: Scene, team: int) -> str:
    towers = (scene.faction == team) & (scene.kind >= data.TOWER_1) & (scene.kind <= data.TOWER_4)
    count = int((scene.health[towers] > 0).sum())
    heroes = slice(team * scene.team_size, (team + 1) * scene.team_size)
    worth = int(np.sum(scene.state.net_worth[heroes])) if scene.team in (-1, team) else None
    return f"{count} tower{'s' * (count != 1)}" + (f" · {worth / 1000:.1f}k gold" if worth is not None else "")


def _boss(scene: Scene) -> str:
    if not int(scene.params.boss):
        return ""
    for team in range(2):
        left = int(scene.state.might[team])
        if left > 0:
            return f"{TEAM_NAMES[team].lower()} has the boss's blessing for {left // data.TICKS_PER_SECOND} s"
    wait = int(scene.state.boss_back) - scene.tick
    if int(scene.state.boss_back) > 0 and wait > 0:
        return f"boss in {wait // data.TICKS_PER_SECOND // 60}:{wait // data.TICKS_PER_SECOND % 60:02d}"
    return "the boss is there"


def paint_team(canvas: "Canvas", scene: Scene, team: int, box: "Box") -> None:
    """A card a hero under a line that says what the numbers are; a lone hero's abilities by name below."""
    start(canvas, box)
    size = scene.team_size
    row = min(ROW, (box[3] - 24) / size)
    _captions(canvas, team, 11, box[2])
    for rank in range(size):
        _card(canvas, scene, team * size + rank, 22 + rank * row, box[2], row - 3)
    if size == 1 and box[3] > 150:
        _details(canvas, scene, team, 76, box[2])


def _details(canvas: "Canvas", scene: Scene, seat: int, top: float, width: float) -> None:
    """A lone hero's abilities by name, and what it is worth in a fight."""
    state, unit = scene.state, scene.unit(seat)
    if not scene.knows(seat):
        return
    for number in range(data.NUM_ABILITIES):
        ability = int(state.hero[seat]) * data.NUM_ABILITIES + number
        rank, wait = int(state.rank[seat, number]), int(state.cooldown[seat, number])
        ready = "not learnt" if not rank else "ready" if not wait else f"{wait / data.TICKS_PER_SECOND:.1f} s"
        y = top + 12 + 21 * number
        canvas.text("QWER"[number], (14, y), 18, GOLD if number == data.ULTIMATE else MANA, align="center")
        canvas.text(data.ABILITIES[ability].name, (28, y), 18, TEXT if rank else FAINT)
        for place in range(rank):
            canvas.circle((138 + 9 * place, y), 3, GOLD if number == data.ULTIMATE else MANA)
        canvas.text(ready, (184, y), 18, TEXT if rank and not wait else FAINT)
    facts = (
        ("health", f"{int(state.health[unit])} / {int(state.max_health[unit])}"),
        ("mana", f"{int(state.mana[seat])} / {int(state.max_mana[seat])}"),
        ("damage", str(int(state.damage[unit]))),
        ("armour", str(int(state.armor[unit]))),
    )
    for row, (name, value) in enumerate(facts):
        canvas.text(name, (330, top + 12 + 21 * row), 18, FAINT, align="right")
        canvas.text(value, (342, top + 12 + 21 * row), 18, TEXT)


COLUMNS = (("K / D / A", 272), ("CS", 312), ("GOLD", 344))
ABILITY_X = 164


def _captions(canvas: "Canvas", team: int, y: float, width: float) -> None:
    canvas.text(TEAM_NAMES[team], (8, y), 17, mix(TEAM_COLORS[team], WHITE, 0.25))
    for words, x in COLUMNS:
        canvas.text(words, (x, y), 15, FAINT, align="center")
    canvas.text("ITEMS", (width - 8, y), 15, FAINT, align="right")


def _card(canvas: "Canvas", scene: Scene, seat: int, top: float, width: float, height: float) -> None:
    state, unit, middle = scene.state, scene.unit(seat), top + height / 2
    color, alive = TEAM_COLORS[seat // scene.team_size], bool(scene.health[unit] > 0)
    canvas.rectangle((0, top), (width, top + height), CARD, radius=5)
    canvas.rectangle((0, top), (4, top + height), color, radius=2)
    known, level = scene.knows(seat), scene.level_of(seat)
    canvas.circle((26, middle), 17, color if alive else SLATE)
    if level:
        hero_symbol(canvas, int(state.hero[seat]), (26, middle), 15, WHITE if alive else MUTED)
    canvas.circle((40, middle + 12), 8, INK)
    canvas.text(str(level or "?"), (40, middle + 12), 15, WHITE, align="center")
    name = data.HEROES[int(state.hero[seat])].name if level else "not seen yet"
    canvas.text(name, (54, top + 13), 20, TEXT if alive and level else FAINT)
    _condition(canvas, scene, seat, unit, top)
    _abilities(canvas, scene, seat, (ABILITY_X, middle))
    texts = (
        f"{int(state.kills[seat])} / {int(state.deaths[seat])} / {int(state.assists[seat])}",
        str(int(state.last_hits[seat])) if known else "?",
        _thousands(int(state.net_worth[seat])) if scene.team in (-1, seat // scene.team_size) else "?",
    )
    for (_, x), words, ink in zip(COLUMNS, texts, (TEXT, TEXT, GOLD), strict=True):
        canvas.text(words, (x, middle), 19, ink, align="center")
    if known:
        _items(canvas, np.asarray(state.items[seat]), width, middle)


def _thousands(gold: int) -> str:
    return f"{gold / 1000:.1f}k" if gold >= 1000 else str(gold)


def _condition(canvas: "Canvas", scene: Scene, seat: int, unit: int, top: float) -> None:
    """Health and mana, or when the hero comes back, as far as is known."""
    state = scene.state
    if scene.health[unit] <= 0:
        seconds = -(-int(state.respawn[seat]) // data.TICKS_PER_SECOND)
        canvas.text(f"back in {seconds} s", (54, top + 31), 17, HURT)
    elif not scene.knows(seat):
        canvas.text("out of sight", (54, top + 31), 17, FAINT)
    else:
        share = int(state.health[unit]) / max(int(state.max_health[unit]), 1)
        bar(canvas, (54, top + 23), (98, 7), share, HEALTH if share > 0.35 else HURT)
        bar(canvas, (54, top + 34), (98, 4), int(state.mana[seat]) / max(int(state.max_mana[seat]), 1), MANA)


def _abilities(canvas: "Canvas", scene: Scene, seat: int, at: tuple[float, float]) -> None:
    """Four tiles: grey not learnt, bright ready, else filled from below as the cooldown passes."""
    if not scene.knows(seat):
        return
    for number in range(data.NUM_ABILITIES):
        left, top = at[0] + 18 * number, at[1] - 8
        ability = int(scene.state.hero[seat]) * data.NUM_ABILITIES + number
        color = GOLD if number == data.ULTIMATE else mix(MANA, WHITE, 0.25)
        learnt = scene.state.rank[seat, number] > 0
        left_share = int(scene.state.cooldown[seat, number]) / max(int(scene.params.ability_cooldown[ability]), 1)
        canvas.rectangle((left, top), (left + 15, top + 16), SLATE, radius=3)
        if learnt:
            shade = color if left_share == 0 else mix(color, SLATE, 0.6)
            canvas.rectangle((left, top + 16 * min(left_share, 0.95)), (left + 15, top + 16), shade, radius=3)
        canvas.text("QWER"[number], (left + 7.5, top + 8.5), 15, INK if learnt and left_share == 0 else STONE,
                    align="center")  # fmt: skip


def _items(canvas: "Canvas", counts: np.ndarray, width: float, middle: float) -> None:
    owned = [item for item, count in enumerate(counts.tolist()) for _ in range(count)]
    for place in range(data.MAX_ITEMS):
        at = width - 14 - 15.5 * (data.MAX_ITEMS - 1 - place), middle
        if place < len(owned):
            item_symbol(canvas, owned[place], at, 7.2)
        else:
            canvas.rectangle((at[0] - 7, at[1] - 7), (at[0] + 7, at[1] + 7), PANEL, radius=2)


def paint_minimap(canvas: "Canvas", scene: Scene, box: "Box", edges: tuple[float, float, float, float]) -> None:
    """All that the scene shows, as dots."""
    left, top, right, bottom = edges
    canvas.view(left, bottom, right, top, box)
    dot = canvas.pixel()
    for unit in np.flatnonzero(scene.shown).tolist():
        kind, at, color = int(scene.kind[unit]), scene.at(unit), scene.color(unit)
        if data.TOWER_1 <= kind <= data.ANCIENT:
            size = (5 if kind == data.ANCIENT else 3.5) * dot
            canvas.rectangle((at[0] - size, at[1] - size), (at[0] + size, at[1] + size), INK)
            size -= dot
            canvas.rectangle((at[0] - size, at[1] - size), (at[0] + size, at[1] + size), mix(color, WHITE, 0.15))
        elif kind == data.HERO:
            canvas.circle(at, 5.5 * dot, WHITE)
            canvas.circle(at, 4.3 * dot, color)
        else:
            canvas.circle(at, (3 if kind == data.BOSS else 1.8) * dot, mix(color, INK, 0.2))


def paint_feed(canvas: "Canvas", scene: Scene, box: "Box") -> None:
    """The last events, the newest below, the older the fainter."""
    start(canvas, box)
    lines = [line for line in (_sentence(scene, event) for event in _events(scene)) if line]
    step, count = 19, int(box[3] // 19)
    for place, (tick, parts) in enumerate(lines[-count:]):
        seconds, x, y = tick // data.TICKS_PER_SECOND, 44.0, step * (place + 0.5)
        canvas.text(f"{seconds // 60}:{seconds % 60:02d}", (36, y), 16, FAINT, align="right")
        for words, color in parts:
            canvas.text(words, (x, y), 18, color)
            x += canvas.text_width(words + " ", 18)


def _events(scene: Scene) -> list[list[int]]:
    """(tick, what, unit, other) of the ring, oldest first."""
    total, ring = int(scene.state.num_events), np.asarray(scene.state.event)
    return [ring[number % EVENTS].tolist() for number in range(max(0, total - EVENTS), total)]


Parts = list[tuple[str, Color]]


def _sentence(scene: Scene, event: list[int]) -> tuple[int, Parts] | None:
    tick, what, unit, other = event
    if what == KILLED:
        return tick, [_named(scene, other), ("slew", TEXT), _named(scene, unit)]
    if what == FELL:
        return tick, [_named(scene, other), ("razed", TEXT), _named(scene, unit)]
    if what == BOSS_SLAIN and 0 <= other < 2:
        return tick, [(TEAM_NAMES[other].lower(), _ink(other)), ("slew the boss", GOLD)]
    if what == WARDED and scene.team in (-1, int(scene.faction[unit])):
        return tick, [_named(scene, unit), ("set a ward", FAINT)]
    return None


def _named(scene: Scene, unit: int) -> tuple[str, Color]:
    if not 0 <= unit < len(scene.kind):
        return "someone", FAINT
    seat = scene.seat(unit)
    name = data.HEROES[int(scene.state.hero[seat])].name if seat >= 0 else data.KINDS[int(scene.kind[unit])].name
    return name, _ink(int(scene.faction[unit]))


def _ink(faction: int) -> Color:
    return mix(TEAM_COLORS[faction], WHITE, 0.3)
