"""Heroes, abilities, items and units as tables: a change or a new row here needs no new rule.

Lengths are in cells, times in ticks of 0.2 s, health, mana, gold and damage in whole points. Every number reaches the
rules as a field of `params` (`hero_health[hero]`, `ability_range[ability]`, ...), so it can also be changed while a
batch runs, by `env.set_params`.
"""

from typing import Any, NamedTuple

import numpy as np

from envs.engine.rules import real

TICKS_PER_SECOND = 5
PULSE = 5
"""Ticks between two pulses: regeneration, burns and passive gold come once a pulse, in whole points."""

FOE, FRIEND, SELF, SPOT, AROUND = range(5)
"""What an ability is aimed at: an enemy, an ally, its owner, the spot where an enemy stands, all around its owner."""

NUM_ABILITIES, ULTIMATE = 4, 3
"""Abilities of a hero; the last is the ultimate."""
MAX_RANK, MAX_ULTIMATE_RANK, MAX_LEVEL = 4, 3, 12


class Hero(NamedTuple):
    """One hero at level 1, with what each level adds."""

    name: str
    health: int
    health_growth: int
    mana: int
    mana_growth: int
    damage: int
    damage_growth: int
    armor: int
    reach: float
    period: int
    """Ticks from attack to attack; one that shoots waits until the last shot has landed, too."""
    speed: float
    """Cells a tick."""
    shot_speed: float
    """Cells a tick of what it shoots; 0: it strikes at once."""
    regen: int
    """Health a pulse."""
    mana_regen: int
    build: tuple[str, ...]
    """The order in which the shop's script buys."""
    skills: str
    """The ability learnt at each level, by number; the ultimate at levels 4, 8 and 12."""


class Ability(NamedTuple):
    """What a spell does, at rank 1; damage, heal, shield and burn grow by a half of that a rank.

    Damage, stun, slow and burn fall on enemies, heal and shield on allies; those within `radius` of the spot or of the
    owner, or the one it is aimed at.
    """

    name: str
    hero: str
    aim: int
    range: float = 0
    radius: float = 0
    damage: int = 0
    heal: int = 0
    shield: int = 0
    burn: int = 0
    """Damage a pulse, while it lasts."""
    stun: int = 0
    """Ticks, of which the one in which it takes effect is the first, as of a slow."""
    slow: int = 0
    lasts: int = 0
    """Ticks that a shield or a burn lasts."""
    dash: float = 0
    """Cells that its owner leaps: towards the enemy it is aimed at, else the way it faces."""
    delay: int = 0
    """Ticks from cast to effect."""
    cooldown: int = 50
    mana: int = 50


class Item(NamedTuple):
    """What a thing from the shop adds to its owner."""

    name: str
    cost: int
    health: int = 0
    mana: int = 0
    damage: int = 0
    armor: int = 0
    regen: int = 0
    mana_regen: int = 0
    speed: float = 0
    power: int = 0
    """Per cent on top of the owner's spells."""
    haste: int = 0
    """Ticks off the owner's attack period."""


class Kind(NamedTuple):
    """A unit that nobody plays."""

    name: str
    health: int
    damage: int
    armor: int = 0
    reach: float = 1.3
    period: int = 5
    sight: int = 3
    """Fog cells (of two map cells) that it sees around it."""
    speed: float = 0
    shot_speed: float = 0
    chase: float = 0
    """Cells within which it turns on an enemy; beyond its reach it walks there. Neutrals turn on whoever hurts them or
    one of their camp, from twice as far."""
    gold: int = 0
    """To the hero of the last hit."""
    team_gold: int = 0
    """To every hero of the team that destroyed it."""
    xp: int = 0
    """Shared by the enemy heroes near."""
    health_growth: int = 0
    """Health more a minute of game time, at the spawn."""
    damage_growth: int = 0
    worth: float = 0
    """Weight of this structure in the reward for structures."""


HEROES = (
    Hero("archer", 440, 42, 180, 16, 46, 5, 2, 5.5, 6, 0.58, 1.6, 2, 1,
         ("boots", "blade", "greatsword", "greatsword", "plate", "greatsword"), "012301132023"),
    Hero("mage", 430, 38, 300, 30, 40, 3, 1, 5.0, 7, 0.57, 1.4, 2, 4,
         ("boots", "tome", "staff", "staff", "vest", "plate"), "010301031123"),
    Hero("guard", 600, 60, 200, 16, 52, 5, 4, 1.4, 7, 0.60, 0.0, 4, 2,
         ("boots", "vest", "plate", "blade", "plate", "greatsword"), "012301130203"),
    Hero("healer", 470, 42, 280, 26, 44, 4, 2, 4.8, 7, 0.58, 1.5, 2, 4,
         ("boots", "charm", "tome", "vest", "staff", "plate"), "012301031203"),
    Hero("rogue", 500, 50, 200, 18, 52, 5, 3, 1.4, 6, 0.64, 0.0, 3, 2,
         ("boots", "blade", "vest", "greatsword", "greatsword", "plate"), "102311130203"),
)  # fmt: skip

ABILITIES = (
    Ability("volley", "archer", SPOT, range=6, radius=1.6, damage=65, cooldown=40, mana=45),
    Ability("snare", "archer", FOE, range=6, damage=40, slow=12, cooldown=50, mana=40),
    Ability("tumble", "archer", SELF, dash=2.6, shield=30, lasts=10, cooldown=60, mana=30),
    Ability("arrow storm", "archer", AROUND, radius=6, damage=150, slow=8, delay=1, cooldown=350, mana=110),
    Ability("fireball", "mage", SPOT, range=6.5, radius=1.6, damage=105, delay=2, cooldown=35, mana=60),
    Ability("frost nova", "mage", AROUND, radius=3, damage=55, slow=15, cooldown=60, mana=60),
    Ability("arcane veil", "mage", SELF, shield=110, lasts=25, cooldown=90, mana=60),
    Ability("meteor", "mage", SPOT, range=8, radius=2.8, damage=240, burn=20, lasts=20, stun=4, delay=4, cooldown=400,
            mana=150),
    Ability("slam", "guard", AROUND, radius=2.4, damage=85, stun=5, delay=1, cooldown=60, mana=55),
    Ability("stone skin", "guard", SELF, shield=110, heal=20, lasts=30, cooldown=80, mana=45),
    Ability("charge", "guard", FOE, range=6, dash=5, damage=75, slow=8, cooldown=70, mana=45),
    Ability("earthquake", "guard", AROUND, radius=4, damage=150, stun=9, delay=2, cooldown=420, mana=110),
    Ability("mend", "healer", FRIEND, range=6, heal=85, cooldown=40, mana=60),
    Ability("aegis", "healer", FRIEND, range=6, shield=85, lasts=25, cooldown=60, mana=50),
    Ability("hex", "healer", FOE, range=5, stun=7, damage=75, cooldown=75, mana=65),
    Ability("sanctuary", "healer", AROUND, radius=5, heal=200, shield=80, lasts=25, cooldown=420, mana=140),
    Ability("backstab", "rogue", FOE, range=1.9, damage=110, cooldown=35, mana=40),
    Ability("shadow step", "rogue", FOE, range=5.5, dash=5, damage=30, slow=5, cooldown=60, mana=40),
    Ability("venom", "rogue", FOE, range=4, burn=22, slow=6, lasts=25, cooldown=60, mana=45),
    Ability("execution", "rogue", FOE, range=3, dash=2, damage=260, cooldown=320, mana=100),
)  # fmt: skip
"""`NUM_ABILITIES` rows a hero, in the heroes' order; the fourth is the ultimate."""

ITEMS = (
    Item("boots", 350, speed=0.1),
    Item("blade", 450, damage=16),
    Item("vest", 450, health=160, armor=3),
    Item("tome", 450, mana=150, power=20),
    Item("charm", 350, regen=5, mana_regen=4, health=60),
    Item("greatsword", 1100, damage=42, haste=1),
    Item("plate", 1100, health=380, armor=8, regen=4),
    Item("staff", 1100, mana=150, power=50, mana_regen=3, health=100),
)
MAX_ITEMS = 6

KINDS = (
    Kind("hero", 0, 0, sight=5),
    Kind("melee creep", 230, 12, 1, 1.3, 5, 3, 0.5, chase=4.5, gold=22, xp=32, health_growth=10, damage_growth=1),
    Kind("ranged creep", 160, 17, 0, 4.2, 5, 3, 0.5, 1.2, chase=5, gold=28, xp=38, health_growth=7, damage_growth=2),
    Kind("tower", 650, 40, 8, 6.5, 5, 5, 0, 1.6, chase=6.5, gold=80, team_gold=60, worth=2.25),
    Kind("second tower", 1150, 90, 10, 6.5, 5, 5, 0, 1.6, chase=6.5, gold=80, team_gold=70, worth=3),
    Kind("third tower", 1300, 105, 12, 6.5, 5, 5, 0, 1.6, chase=6.5, gold=80, team_gold=80, worth=4.5),
    Kind("fourth tower", 1300, 110, 12, 6.5, 5, 5, 0, 1.6, chase=6.5, gold=80, team_gold=80, worth=2.25),
    Kind("barracks", 1000, 0, 10, 0, 5, 3, team_gold=80, worth=6),
    Kind("ancient", 2400, 0, 12, 0, 5, 5, worth=5),
    Kind("camp beast", 340, 24, 2, 1.4, 6, 2, 0.5, chase=3, gold=34, xp=44, health_growth=12, damage_growth=1),
    Kind("boss", 2200, 90, 6, 7, 6, 4, 0, 1.6, chase=3.5, gold=100, team_gold=130, xp=400, health_growth=90,
         damage_growth=4),
    Kind("ward", 30, 0, 0, 0, 5, 4, gold=30, xp=10),
)  # fmt: skip
(HERO, MELEE, RANGED, TOWER_1, TOWER_2, TOWER_3, TOWER_4, BARRACKS, ANCIENT, BEAST, BOSS, WARD) = range(len(KINDS))


def columns(rows: tuple[Any, ...], prefix: str) -> dict[str, np.ndarray]:
    """A table's number columns as arrays `[rows]` of int32 or real, named prefix_field."""
    found = {}
    for name, kind in rows[0].__annotations__.items():
        if kind in (int, float):
            found[f"{prefix}_{name}"] = np.array(
                [getattr(row, name) for row in rows], np.int32 if kind is int else real
            )
    return found


def tables() -> dict[str, np.ndarray]:
    """Every table of this file as arrays by name, with builds and skills as numbers."""
    item_names = [item.name for item in ITEMS]
    build = np.full((len(HEROES), MAX_ITEMS), -1, np.int32)
    for row, hero in enumerate(HEROES):
        build[row, : len(hero.build)] = [item_names.index(name) for name in hero.build]
    skills = np.array([[int(digit) for digit in hero.skills] for hero in HEROES], np.int32)
    found = columns(HEROES, "hero") | columns(ABILITIES, "ability") | columns(ITEMS, "item") | columns(KINDS, "kind")
    return found | {"hero_build": build, "hero_skill": skills}
