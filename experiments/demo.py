"""`quintet demo`: two agents from nothing to a video, and a match of one that comes trained, in a minute or two."""

import time
from dataclasses import dataclass
from pathlib import Path

from experiments import flags, play, runs, train
from experiments.progress import duration

LEVEL = "four_rooms"


@dataclass(frozen=True)
class Options:
    """Trains PPO on CartPole and tabular Q on a grid, evaluates both, leaves videos and a TensorBoard log.

    Ends with a duel of the arena: the policy that comes with the package against the hard scripted player.
    """

    runs_dir: str = "runs"
    """Folder for the runs and the videos."""


def main(argv: list[str]) -> int:
    """`quintet demo`; returns the exit code."""
    options = flags.parse(Options, argv, "quintet demo")
    started = time.perf_counter()
    folder = Path(options.runs_dir)
    lessons = {
        "1/3  PPO learns to balance a pole": ["ppo", "quintet/CartPole-v1"],
        "2/3  tabular Q learns its way through four rooms": ["q", "quintet/GridWorld-v0", "--env.level", LEVEL],
    }
    shown: list[tuple[Path, Path]] = []
    for title, words in lessons.items():
        print(f"\n{title}\n  quintet train {' '.join(words)}", flush=True)
        run, exit_code = train.start(*train.parse([*words, "--runs-dir", options.runs_dir]))
        if exit_code:
            return exit_code
        video = folder / f"demo-{words[1].split('/')[1]}.mp4"
        play.main([str(run), "--episodes", "1" if words[0] == "ppo" else "3", "--video", str(video)])
        shown.append((run, video))
    print("\nwhat it learned: the best action in each cell and its value\n")
    picture = folder / f"demo-{LEVEL}-table.png"
    print(learned_table(shown[1][0], picture))
    duel = folder / "demo-duel.mp4"
    print(
        "\n3/3  a duel of the arena, learned by self-play, against the hard scripted player\n  quintet play duel",
        flush=True,
    )
    play.main(["duel", "--versus", "hard", "--episodes", "1", "--video", str(duel)])
    print(after(shown, picture, duel, folder, time.perf_counter() - started))
    return 0


def learned_table(run: Path, picture: Path) -> str:
    """A table as arrows on its level, in text; draws it into a picture too."""
    from agents.table_picture import table_figure, table_text
    from envs.gridworld import load_level
    from experiments.trained import environment, load_policy
    from experiments.worlds import make_batch

    run_config = runs.read_config(run)
    policy = load_policy(run_config, runs.find_checkpoint(run), make_batch(environment(run_config), 1))
    level = load_level(LEVEL)
    shape = (level.height, level.width)
    table_figure(policy.table, policy.visits, shape, level.rows, title=LEVEL, path=picture)
    return table_text(policy.table, policy.visits, shape, level.rows)


def after(shown: list[tuple[Path, Path]], picture: Path, duel: Path, folder: Path, seconds: float) -> str:
    """What there is now and what to try next."""
    (pole, pole_video), (grid, grid_video) = shown
    return f"""
done in {duration(seconds)}

  videos         {pole_video}
                 {grid_video}
                 {duel}
  the table      {picture}
  curves         tensorboard --logdir {folder}

try next (after `source .venv/bin/activate`):
  quintet play {pole}                     in a window
  quintet evaluate {grid}
  quintet play duel --human                     against a hero that taught itself
  quintet train q quintet/GridWorld-v0 --env.level frozen_lake_4x4
  quintet train ppo Acrobot-v1                  any environment of Gymnasium's
  quintet envs                                  what else there is"""
