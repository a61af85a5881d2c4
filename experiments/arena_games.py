"""`quintet arena-games`: the arena's scripted players against each other, in tables of games, sides and heroes.

A row of a table is a pair of levels; the first plays the first team's seats. Games that time ends count for nobody.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from experiments import flags, pages
from experiments.bench.common import RESULTS, machine
from experiments.errors import InputError, check_file, check_seed
from experiments.matches import random_legal

README = Path(__file__).parent.parent / "envs" / "arena" / "README.md"
LEVELS = ("random", "easy", "medium", "hard")
PAIRS = (("easy", "random"), ("medium", "easy"), ("hard", "medium"), ("hard", "hard"))
WORLDS = {"Duel": "quintet/Duel-v0", "Arena": "quintet/Arena-v0"}
BATCH = 64
"""Games played side by side."""
ARRAYS = ("won", "lost", "minutes", "hero", "seat_won")
COUNTED = ("kills", "deaths", "assists", "last_hits", "denies", "net_worth", "level")


@dataclass(frozen=True)
class Options:
    """Plays the arena's scripted players, and random legal play, against each other."""

    duels: int = 256
    """Duels a pair of levels."""
    arenas: int = 100
    """Games of five against five a pair of levels."""
    equals: int = 1000
    """Games of hard players against each other on each map, which show whether a side or a hero is favoured."""
    seed: int = 0
    """Of the worlds and of random play."""
    out: str = str(RESULTS / "arena_games.json")
    """File for the figures; the tables go beside it, as Markdown."""
    readme: bool = False
    """Puts the tables into envs/arena/README.md too."""


@dataclass(frozen=True)
class Games:
    """What came of some games: results `[games]` from the first team's side, statistics `[games, seats]`."""

    won: np.ndarray
    lost: np.ndarray
    minutes: np.ndarray
    hero: np.ndarray
    seat_won: np.ndarray
    counts: dict[str, np.ndarray]


def main(argv: list[str]) -> int:
    """`quintet arena-games ...`; returns the exit code."""
    options = flags.parse(Options, argv, "quintet arena-games")
    for name in ("duels", "arenas", "equals"):
        if getattr(options, name) < 1:
            raise InputError(f"--{name} must be at least 1, got {getattr(options, name)}")
    check_seed(options.seed)
    check_file("--out", options.out, ".json")
    document: dict[str, Any] = {"machine": machine(), "pairs": [], "heroes": []}
    for name, id in WORLDS.items():
        number = options.duels if name == "Duel" else options.arenas
        for first, second in PAIRS:
            games = play_games(id, first, second, options.equals if first == second else number, seed=options.seed)
            document["pairs"].append({"world": name, "first": first, "second": second, **summary(games)})
            print(pair_line(document["pairs"][-1]), flush=True)
        games = play_games(id, "hard", "hard", options.equals, seed=options.seed + 1, lineup="random")
        document["heroes"] += [{"world": name, **row} for row in by_hero(games)]
    write(document, Path(options.out), options.readme)
    return 0


def play_games(id: str, first: str, second: str, games: int, seed: int = 0, **options: Any) -> Games:
    """Plays whole games between two levels ("random", "easy", "medium", "hard"), batch by batch."""
    parts = []
    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"{id} {first} v {second}", total=games)
        for start in range(0, games, BATCH):
            batch = min(BATCH, games - start)
            parts.append(_play_batch(id, (first, second), batch, seed + 7919 * start, options))
            progress.advance(bar, batch)
    return joined(parts)


def joined(parts: list[Games]) -> Games:
    """Several batches as one."""
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ARRAYS}
    counts = {name: np.concatenate([part.counts[name] for part in parts]) for name in COUNTED}
    return Games(**arrays, counts=counts)


def _play_batch(id: str, levels: tuple[str, str], games: int, seed: int, options: dict[str, Any]) -> Games:
    import envs

    env = envs.make_vec(id, games, seed=seed, num_threads=1, seats="all", autoreset_mode="Disabled", **options)
    team = env.num_seats // 2
    env.set_control([LEVELS.index(level) for level in levels for _ in range(team)])
    _, infos = env.reset()
    rng = np.random.default_rng(seed)
    actions = np.zeros((env.num_envs, 3), np.int64)
    while not env.state["ended"].all():
        if "random" in levels:
            actions = random_legal(infos["action_mask"].numpy(), env.action_layout, rng)
        infos = env.step(actions)[-1]
    state = env.state
    return Games(
        state["won"][:, 0] > 0,
        state["lost"][:, 0] > 0,
        state["tick"] * _minutes_a_tick(),
        state["hero"].copy(),
        state["won"] > 0,
        {name: state[name].copy() for name in COUNTED},
    )


def _minutes_a_tick() -> float:
    from envs.arena import data

    return 1 / (60 * data.TICKS_PER_SECOND)


def wilson(hits: float, of: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share: Wilson (1927), https://doi.org/10.1080/01621459.1927.10502953."""
    if of == 0:
        return 0.0, 1.0
    z = 1.959964
    share = hits / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def summary(games: Games) -> dict[str, Any]:
    """A pair's figures; of `counts`, both teams' means: kills of a whole team, all else of a hero."""
    number, team = len(games.won), games.hero.shape[1] // 2
    won, lost = int(games.won.sum()), int(games.lost.sum())
    means = {}
    for name, values in games.counts.items():
        sides = values[:, :team], values[:, team:]
        means[name] = [float(side.sum(1).mean() if name == "kills" else side.mean()) for side in sides]
    return {
        "games": number, "won": won, "lost": lost, "undecided": number - won - lost, "rate": won / max(won + lost, 1),
        "interval": wilson(won, won + lost), "minutes": float(games.minutes.mean()),
        "minutes_10_90": [float(x) for x in np.quantile(games.minutes, (0.1, 0.9))], **means,
    }  # fmt: skip


def by_hero(games: Games) -> list[dict[str, Any]]:
    """Each hero's figures over all seats that played it; undecided games count for neither side."""
    from envs.arena import data

    rows = []
    decided = np.broadcast_to((games.won | games.lost)[:, None], games.hero.shape)
    for number, hero in enumerate(data.HEROES):
        played = games.hero == number
        of, won = int((played & decided).sum()), int((played & games.seat_won).sum())
        means = {name: float(values[played].mean()) for name, values in games.counts.items()}
        rows.append({"hero": hero.name, "decided": of, "rate": won / max(of, 1), "interval": wilson(won, of), **means})
    return rows


def pair_line(row: dict[str, Any]) -> str:
    """For people who wait."""
    return (
        f"{row['world']:<6} {row['first']:>7} v {row['second']:<7} {row['won']:>5}-{row['lost']}-{row['undecided']} "
        f"({share(row)}), {row['minutes']:.1f} min, kills {row['kills'][0]:.1f} v {row['kills'][1]:.1f}"
    )


def share(row: dict[str, Any]) -> str:
    """A rate with its interval, in per cent."""
    low, high = row["interval"]
    return f"{100 * row['rate']:.1f}% [{100 * low:.1f}, {100 * high:.1f}]"


def tables(document: dict[str, Any]) -> str:
    """The figures as two Markdown tables."""
    lines = [
        "| game | levels | games | won | lost | undecided | first wins (95%) | minutes (10-90%) | kills | last hits "
        "| denies | net worth | level |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in document["pairs"]:
        both = (f"{row[name][0]:.1f} v {row[name][1]:.1f}" for name in ("kills", "last_hits", "denies"))
        rich, level = row["net_worth"], row["level"]
        low, high = row["minutes_10_90"]
        cells = [
            row["world"], f"{row['first']} v {row['second']}", row["games"], row["won"], row["lost"], row["undecided"],
            share(row), f"{row['minutes']:.1f} ({low:.1f}-{high:.1f})", *both,
            f"{rich[0]:,.0f} v {rich[1]:,.0f}", f"{level[0]:.1f} v {level[1]:.1f}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += [
        "",
        "Heroes of hard players, drawn for each seat:",
        "",
        "| game | hero | decided games | wins (95%) | kills | deaths | assists | last hits | net worth |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in document["heroes"]:
        means = (f"{row[name]:.1f}" for name in ("kills", "deaths", "assists", "last_hits"))
        cells = [row["world"], row["hero"], row["decided"], share(row), *means, f"{row['net_worth']:,.0f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def write(document: dict[str, Any], out: Path, readme: bool) -> None:
    """Writes figures and tables, and where asked the tables between their marks in the arena's page."""
    shown = tables(document)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(document, indent=2) + "\n")
    out.with_suffix(".md").write_text(shown + "\n")
    if readme:
        pages.put(README, "games", shown)
    print(f"\n{shown}\n\nwritten to {out}")
