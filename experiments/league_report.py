"""`quintet league --report RUN...`: everybody against everybody, a cross table of shares of points, with ratings.

The players are the runs' policies, versions from their pools if asked for, the world's scripted players and random
legal play. Each pair plays the same number of games, half from either side, each with random streams of its own.
"""

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from experiments import flags, pages, runs
from experiments.arena_games import wilson
from experiments.errors import InputError, as_input_error, check_file, check_seed
from experiments.flags import Modules
from experiments.matches import Player, Tally, match
from experiments.ratings import Rating, from_tallies, references
from experiments.worlds import EVALUATION_SEED, import_modules


@dataclass(frozen=True)
class Options:
    """Sets trained teams against each other, the world's scripted players and random legal play."""

    run: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Run folders, or names in --runs-dir, of one world of two teams."""
    games: int = 100
    """Of each pair."""
    versions: int = 0
    """Past versions of each run's pool that play too, from the oldest to the newest at equal distances."""
    scripted: bool = True
    """Random legal play and the world's scripted players play too."""
    stochastic: bool = False
    """Draws actions from the policies, instead of their best ones."""
    checkpoint: str | None = None
    """A step or "best"; the last one by default."""
    seed: int = EVALUATION_SEED
    """Of the games."""
    out: str | None = None
    """Writes the figures to this .json file, and the table beside it as Markdown; with --versions also a picture of
    ratings over agent-steps."""
    runs_dir: str = "runs"
    """Folder of run folders."""
    module: Modules = ()
    """A module of your own that the runs need."""


def main(argv: list[str]) -> int:
    """`quintet league --report ...`; returns the exit code."""
    options = flags.parse(Options, argv, "quintet league --report")
    _check(options)
    import_modules(options.module)
    config, players, make = _gather(options)
    names = [player.name for player in players]
    tallies: dict[tuple[str, str], Tally] = {}
    pairs = list(itertools.combinations(players, 2))
    for number, (one, other) in enumerate(pairs, start=1):
        tally = match(
            make, one, other, options.games, options.seed + 10_007 * number, deterministic=not options.stochastic
        )
        tallies[one.name, other.name] = tally
        print(f"[{number}/{len(pairs)}] {one.name} against {other.name}: {tally.won} won, {tally.lost} lost, "
              f"{tally.drawn} drawn", flush=True)  # fmt: skip
    ratings = from_tallies(names, tallies, options.seed)
    text = table(config.env_id, names, tallies, ratings, options)
    print("\n" + text)
    if options.out:
        _write(Path(options.out), text, config, tallies, ratings, options)
    return 0


def _check(options: Options) -> None:
    if not options.run:
        raise InputError("which runs? quintet league --report RUN [RUN ...]")
    if options.games < 2 or options.versions < 0:
        raise InputError("--games must be at least 2 and --versions at least 0")
    if options.games % 2:
        raise InputError(f"--games must be even, as each player has both sides as often; got {options.games}")
    check_seed(options.seed)
    if options.out:
        check_file("--out", options.out, ".json")


def _gather(options: Options) -> tuple[runs.RunConfig, list[Player], Any]:
    """The first run's configuration, all players, and how their worlds are made."""
    import torch

    from envs import make_vec
    from experiments.trained import environment
    from experiments.versus import check_match, player_of, tick_by_tick
    from experiments.worlds import EnvChoice, make_world

    torch.set_num_threads(1)
    folders = [runs.find(name, options.runs_dir) for name in options.run]
    config = runs.read_config(folders[0])
    choice = environment(config)
    one = make_world(EnvChoice(choice.id, tick_by_tick(choice.options)))
    check_match(one)
    world = one.world

    def make(num_worlds: int, seed: int) -> Any:
        return make_vec(world, num_worlds, seed=seed, seats="all", num_threads=1, autoreset_mode="Disabled")

    players = references(world.scripted_levels) if options.scripted else []
    for folder in folders:
        if runs.read_config(folder).env_id != config.env_id:
            raise InputError(f"{folder} is no run of {config.env_id}, as {folders[0]} is; compare runs of one world")
        players += [_version(folder, path, one) for path in versions(folder, options.versions)]
        players.append(player_of(str(folder), one, options.runs_dir, options.checkpoint))
    names = [player.name for player in players]
    if len(names) < 2 or len(set(names)) < len(names):
        raise InputError(f"there must be two different players or more, got {', '.join(names)}")
    return config, players, make


def versions(folder: Path, count: int) -> list[Path]:
    """Files of past versions in a run's pool, at equal distances from the oldest to the newest."""
    paths = sorted((folder / "pool").glob("step_*.safetensors"))
    places = np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)
    return [paths[place] for place in places]


def _version(folder: Path, path: Path, envs: Any) -> Player:
    """A past version of a run, as a player."""
    from agents import checkpoint
    from experiments.selfplay import make_policy
    from experiments.trained import restore_config
    from experiments.versus import holds

    config = restore_config(runs.read_config(folder))
    policy = make_policy(envs, config)
    with as_input_error(RuntimeError, ValueError, KeyError, prefix=f"{path} doesn't fit: "):
        policy.load_state_dict(checkpoint.load(path)["policy"])
    name = f"{folder.name}@{_step(path)}"
    return Player(name, policy=policy.eval(), every=holds(runs.read_config(folder), envs))


def points(tallies: dict[tuple[str, str], Tally], one: str, other: str) -> tuple[float, tuple[float, float]]:
    """The share of the points, draws a half, that one won against the other, and Wilson's 95% interval of it."""
    tally = tallies.get((one, other)) or tallies[other, one]
    won = (tally.won if (one, other) in tallies else tally.lost) + tally.drawn / 2
    return won / tally.games, wilson(won, tally.games)


def table(
    env_id: str, names: list[str], tallies: dict[tuple[str, str], Tally], ratings: dict[str, Rating], options: Options
) -> str:
    """The cross table in Markdown: a row's share of the points against each column, in per cent."""
    how = "drawn" if options.stochastic else "best"
    lines = [
        f"{env_id}: a row's share of the points against a column, in per cent with the 95% interval; {options.games} "
        f"games a pair, trained players take their {how} actions.",
        "",
        "| | player | rating ± standard error | " + " | ".join(str(i + 1) for i in range(len(names))) + " |",
        "|---" * (len(names) + 3) + "|",
    ]
    for place, one in enumerate(names):
        cells = ["" if one == other else _cell(*points(tallies, one, other)) for other in names]
        rating = f"{ratings[one].mu:.1f} ± {ratings[one].sigma:.1f}"
        lines.append(f"| {place + 1} | {one} | {rating} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(share: float, interval: tuple[float, float]) -> str:
    return f"{100 * share:.0f} [{100 * interval[0]:.0f}, {100 * interval[1]:.0f}]"


def _write(
    path: Path, text: str, config: runs.RunConfig, tallies: dict[tuple[str, str], Tally],
    ratings: dict[str, Rating], options: Options,
) -> None:  # fmt: skip
    words = [*options.run, "--games", str(options.games), "--seed", str(options.seed)]
    words += ["--versions", str(options.versions)] if options.versions else []
    words += ["--stochastic"] if options.stochastic else []
    words += [] if options.scripted else ["--no-scripted"]
    figures = {
        "env_id": config.env_id,
        "command": "quintet league --report " + " ".join(words),
        "commit": runs.commit(),
        "ratings": {name: list(rating) for name, rating in ratings.items()},
        "games": [
            {"one": one, "other": other, "won": tally.won, "lost": tally.lost, "drawn": tally.drawn}
            for (one, other), tally in tallies.items()
        ],
    }
    path.write_text(json.dumps(figures, indent=2) + "\n")
    pages.put(path.with_suffix(".md"), "ratings", text)
    written = [path, path.with_suffix(".md")]
    if options.versions:
        written.append(path.with_suffix(".png"))
        draw(ratings, options, written[-1])
    print(f"\nwritten: {', '.join(map(str, written))}")


def draw(ratings: dict[str, Rating], options: Options, out: Path) -> None:
    """Ratings of runs' versions over agent-steps, with those of the references across."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes, rest = figure.subplots(), dict(ratings)
    for folder in (runs.find(name, options.runs_dir) for name in options.run):
        last = runs.find_checkpoint(folder, options.checkpoint)
        steps = {f"{folder.name}@{step}": step for step in map(_step, versions(folder, options.versions))}
        steps[folder.name] = _step(last) if last.stem.startswith("step_") else max(steps.values(), default=0)
        mu, sigma = zip(*(rest.pop(name) for name in steps), strict=True)
        axes.errorbar(list(steps.values()), mu, sigma, marker="o", capsize=3, label=folder.name)
    for name, rating in rest.items():
        axes.axhline(rating.mu, color="gray", linestyle="--", linewidth=1)
        axes.annotate(
            name, (1, rating.mu), xycoords=("axes fraction", "data"), xytext=(4, -3), textcoords="offset points"
        )
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set(xlabel="agent-steps", ylabel="rating (random legal play is 0)")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(out)


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step_"))
