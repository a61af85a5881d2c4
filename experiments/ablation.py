"""`quintet ablation`: what parts of the league are worth, each switched off or on by itself, in one table.

The arms are in ablation.toml: of each environment a base, trained once, and what differs from it. Every arm is trained
with several seeds at a small budget; the last policy plays each of the world's scripted players with its best actions,
and ratings while it learned tell how fast it got there. As in `quintet report`, a run whose settings have a result
already is not repeated: Ctrl-C, and the same command later goes on with what is due. Results of other settings stay in
the file, and out of the table.
"""

import fnmatch
import json
import time
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from experiments import flags, runs
from experiments.bench.common import RESULTS
from experiments.errors import InputError
from experiments.ratings import LEVEL_NAMES
from experiments.report import ONE_CORE, check, due, quintet, run_all, settings_of, spread, stored, train
from experiments.worlds import EVALUATION_SEED

ARMS = Path(__file__).parent / "ablation.toml"
VERSIONS = 20
"""That a run leaves, at equal distances."""
Settings = dict[str, str | None]
"""Hashes by the names of arms: see `settings_of`."""
Results = list[dict[str, Any]]


@dataclass(frozen=True)
class Options:
    """Trains leagues with a part switched off or on, several seeds each, and writes what that did: a table, and curves.

    It takes hours on a core. Stop it with Ctrl-C; the same command goes on, and loses no run that was complete.
    """

    only: str = "*"
    """Arms to train, by a pattern of "ENV_ID ARM": "*Duel*", "* base". The table has all arms."""
    seeds: int = 3
    """Seeds an arm: 1, 2, ..., the first one of all arms before the second."""
    jobs: int = 1
    """Runs side by side, each on one core."""
    table: bool = False
    """Trains nothing: writes the table of what there is."""
    steps: int = 0
    """Agent-steps of each run; 0: as ablation.toml has it. For a trial: --steps 20000 --games 4 --out FILE."""
    games: int = 0
    """Against each scripted player, an even number, half from either side; 0: as ablation.toml has it."""
    runs_dir: str = "runs/ablation"
    """Folder of the run folders."""
    out: str = str(RESULTS / "ablation.json")
    """File of the results; the table and the curves go beside it, as Markdown and PNG."""
    play: str | None = None
    """A run folder: its --games (200 by default) against each scripted player, as JSON, and nothing else."""


@dataclass(frozen=True)
class Arm:
    """A line of the table."""

    env_id: str
    arm: str
    about: str
    """What it is, for the base, or what differs from the base."""
    steps: int
    """Agent-steps of a run."""
    games: int
    """Of its last policy against each scripted player."""
    ratings: int
    """How often a run is rated, at equal distances."""
    flags: tuple[str, ...] = ()
    """On the command line: those of all the environment's arms, then what differs from the base."""

    @property
    def name(self) -> str:
        """What --only is matched with."""
        return f"{self.env_id} {self.arm}"

    @property
    def words(self) -> list[str]:
        """The command that trains it, but for the seed and the folder."""
        counts = {
            "total-timesteps": self.steps,
            "rate-every": self.steps // self.ratings,
            "snapshot-every": self.steps // VERSIONS,
        }
        given = [word for name, value in counts.items() for word in (f"--{name}", str(value))]
        return ["league", self.env_id, *given, *ONE_CORE, "--eval-episodes", "0", *self.flags]


def main(argv: list[str]) -> int:
    """`quintet ablation ...`; returns the exit code."""
    options = flags.parse(Options, argv, "quintet ablation")
    arms, path = read_arms(options.steps, options.games), Path(options.out)
    _check(options, arms)
    if options.play is not None:
        print(json.dumps(play(options.play, options.games or 200, options.runs_dir)))
        return 0
    settings = {arm.name: settings_of(arm.words, arm.games) for arm in arms}
    results = stored(path, {"games", "ratings"})
    failures = [] if options.table else _train(options, arms, settings, results, path)
    pictures = draw(arms, settings, results, options.seeds, path)
    path.with_suffix(".md").write_text(table(arms, settings, results, options.seeds, pictures))
    print(f"written: {path.with_suffix('.md')}")
    if failures:
        raise InputError(f"{len(failures)} runs failed, the same command tries them again; the first: {failures[0]}")
    return 0


def read_arms(steps: int = 0, games: int = 0) -> list[Arm]:
    """The arms of ablation.toml, in its order, with other budgets where they are not 0."""
    arms = []
    for env_id, about in tomllib.loads(ARMS.read_text()).items():
        for one in about["arms"]:
            arm = Arm(
                env_id, one["name"], one["about"], steps or about["steps"], games or about["games"],
                about["ratings"], (*about.get("flags", ()), *one.get("flags", ())),
            )  # fmt: skip
            arms.append(arm)
    return arms


def _check(options: Options, arms: list[Arm]) -> None:
    check(options, [arm.name for arm in arms])
    if options.steps and options.steps < VERSIONS:
        raise InputError(f"--steps must be at least {VERSIONS}, or 0 for those of {ARMS.name}, got {options.steps}")
    if options.games < 0 or options.games % 2:
        raise InputError(
            f"--games must be even, half from either side, or 0 for those of {ARMS.name}, got {options.games}"
        )


def _train(options: Options, arms: list[Arm], settings: Settings, results: Results, path: Path) -> list[str]:
    """Trains what is due and has it play; returns what was said by runs that failed."""
    wanted = {arm.name: arm for arm in arms if fnmatch.fnmatchcase(arm.name, options.only)}

    def work(name: str, seed: int) -> tuple[dict[str, Any], str]:
        result = train_and_play(wanted[name], seed, Path(options.runs_dir))
        return result, f"{_shares(result)} in {result['seconds']:.0f} s"

    return run_all(due(list(wanted), options.seeds, settings, results), work, settings, results, path, options.jobs)


def train_and_play(arm: Arm, seed: int, runs_dir: Path) -> dict[str, Any]:
    """One run, and the games of its last policy.

    Raises:
        InputError: either failed, with what it said.
    """
    from experiments.plot import curve

    run, seconds = train(arm.words, seed, runs_dir / runs.folder_name(f"{arm.name} {seed} {time.time_ns()}"))
    said, _ = quintet("ablation", "--play", str(run), "--games", str(arm.games))
    steps, ratings = curve(run, "step", "league/rating")
    return {
        "command": _command(arm, str(seed)),
        "steps": int(curve(run, "step", "league/versions")[0][-1]),
        "games": json.loads(said),
        "ratings": [[int(step), round(rating, 2)] for step, rating in zip(steps, ratings, strict=True)],
        "seconds": round(seconds, 1),
        "commit": runs.read_config(run).commit,
    }


def play(name: str, games: int, runs_dir: str) -> dict[str, dict[str, int]]:
    """A run's games won, lost and drawn against each scripted player of its world, by name; best actions, one core.

    Raises:
        InputError: no such run, or one of a world without teams.
    """
    import torch

    from envs import make_vec
    from experiments.matches import Player, match
    from experiments.ratings import level_names
    from experiments.trained import environment
    from experiments.versus import player_of
    from experiments.worlds import make_world

    torch.set_num_threads(1)
    run = runs.find(name, runs_dir)
    one = make_world(environment(runs.read_config(run)))
    learner, world = player_of(str(run), one, runs_dir), one.world

    def make(num_worlds: int, seed: int) -> Any:
        return make_vec(world, num_worlds, seed=seed, seats="all", num_threads=1, autoreset_mode="Disabled")

    levels = [Player(name, level=level) for level, name in enumerate(level_names(world.scripted_levels), start=1)]
    return {one.name: asdict(match(make, learner, one, games, EVALUATION_SEED, deterministic=True)) for one in levels}


def points(result: dict[str, Any], level: str) -> float:
    """A run's share of the points against a scripted player in per cent, a draw half a point."""
    tally = result["games"][level]
    return 100 * (tally["won"] + tally["drawn"] / 2) / sum(tally.values())


def _shares(result: dict[str, Any]) -> str:
    return ", ".join(f"{points(result, level):.0f}% against {level}" for level in result["games"])


def of_arm(arm: Arm, settings: Settings, results: Results, seeds: int) -> Results:
    """An arm's results with these settings, of the first seeds."""
    return [one for one in results if one["settings"] == settings[arm.name] and one["seed"] <= seeds]


def draw(arms: list[Arm], settings: Settings, results: Results, seeds: int, path: Path) -> dict[str, Path]:
    """A picture of ratings over agent-steps beside `path` for each environment that has results, by its id."""
    import numpy as np

    from experiments import plot

    pictures = {}
    for env_id in dict.fromkeys(arm.env_id for arm in arms):
        curves = {}
        for arm in (arm for arm in arms if arm.env_id == env_id):
            if found := of_arm(arm, settings, results, seeds):
                points = [np.array(one["ratings"], np.float64).T for one in found]
                curves[arm.arm] = plot.average([(steps, ratings) for steps, ratings in points])
        if curves:
            name = env_id.rpartition("/")[2].partition("-")[0].lower()
            pictures[env_id] = path.with_name(f"{path.stem}_{name}.png")
            plot.draw(curves, "agent-steps", "rating", pictures[env_id])
    return pictures


def table(arms: list[Arm], settings: Settings, results: Results, seeds: int, pictures: dict[str, Path]) -> str:
    """The results with these settings, of the first seeds, as a Markdown page that shows the pictures beside it."""
    lines = ["# What parts of the league are worth", "", PREFACE]
    for env_id in dict.fromkeys(arm.env_id for arm in arms):
        members = [arm for arm in arms if arm.env_id == env_id]
        lines += ["", f"## {env_id}", "", f"{members[0].games} games against each scripted player.", ""]
        lines += ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
        for arm in members:
            found = of_arm(arm, settings, results, seeds)
            cells = [arm.arm, arm.about, *_cells(arm, found, seeds), f"`{_command(arm, 'K')}`"]
            lines.append("| " + " | ".join(cells) + " |")
        if env_id in pictures:
            lines += ["", f"![ratings over agent-steps]({pictures[env_id].name})"]
    return "\n".join(lines) + "\n"


PREFACE = """\
Made by `quintet ablation`. Each seed K is a run of the row's command. Its last policy then plays each
scripted player with its best actions, half of the games from either side: shares of the points in per cent, a draw half
a point, the mean over seeds (the least to the greatest). Ratings (`experiments.ratings`: random legal play is 0; a
difference of 7 is about three wins in four, and who wins all games is rated no higher than these can tell) are of games
with drawn actions while it learned: "later ratings" is the mean of the second half of them, "rating" the last one; both
are means over seeds, with half their 95% interval (Student's t over seeds). Seconds are the processor's for one run,
from the start of its process to the end, with the ratings but without the games at its end. Rules and scripted players
are those of the commit (+: with changes), and a change of them does not make a result due again. In the pictures a
curve is the mean over seeds, and its shade spans them."""
HEAD = (
    "arm", "what it is", "seeds", "agent-steps", *LEVEL_NAMES, "later ratings", "rating", "CPU seconds", "commit",
    "command",
)  # fmt: skip


def _cells(arm: Arm, found: Results, seeds: int) -> list[str]:
    """From the count of seeds to the commit."""
    if not found:
        return ["not run", f"{arm.steps:,}", *[""] * (len(LEVEL_NAMES) + 4)]
    count = str(seeds) if len(found) == seeds else f"{len(found)} of {seeds}, others not run"
    steps = round(sum(one["steps"] for one in found) / len(found))
    shares = [_span([points(one, level) for one in found]) for level in LEVEL_NAMES]
    later = [fmean(rating for _, rating in one["ratings"][len(one["ratings"]) // 2 :]) for one in found]
    last = [one["ratings"][-1][1] for one in found]
    seconds = sum(one["seconds"] for one in found) / len(found)
    commits = ", ".join(sorted({short_commit(one) for one in found}))
    return [count, f"{steps:,}", *shares, spread(later, 1), spread(last, 1), f"{seconds:.0f}", commits]


def _span(shares: list[float]) -> str:
    return f"{fmean(shares):.1f} ({min(shares):.0f} to {max(shares):.0f})"


def short_commit(result: dict[str, Any]) -> str:
    """The commit that a result is of, cut short; "+" if files differed from it."""
    commit = result.get("commit") or "?"
    return commit[:7] + ("+" if commit.endswith("+") else "")


def _command(arm: Arm, seed: str) -> str:
    return " ".join(["quintet", *arm.words, "--seed", seed])
