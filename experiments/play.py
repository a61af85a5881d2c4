"""`quintet play`: watch a trained agent, in a window or in a video, or play by hand."""

import contextlib
import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import flags, runs
from experiments.errors import InputError, as_input_error, check_file, check_seed
from experiments.flags import Modules
from experiments.pictures import Painter
from experiments.progress import say_cut_off
from experiments.screens import PlayWindow, Video, Window
from experiments.worlds import EVALUATION_SEED, EnvChoice, choose, close, import_modules, make_one, make_world


@dataclass(frozen=True)
class Options:
    """Shows a trained agent playing, or lets a person play. In the window: space pauses, up and down change the speed,
    F1, F2, F3 change the look where a world has several, q or Escape ends.

    In a world of two teams the agent holds one of them against the world's best scripted player, or --versus another.

    With --human a person plays one seat, of a run's world beside and against its agent, or of a world by its id against
    scripted players; options of the world are written --env.KEY VALUE. The keys are told at the start; plus and minus
    change the speed.
    """

    run: flags.Run
    """Run folder, a name in --runs-dir, or "latest"; with --human also a world's id."""
    human: bool = False
    """A person plays, with mouse and keys."""
    seat: int = 0
    """The person's, with --human."""
    versus: str | None = None
    """Who holds the other team, in worlds of two: a run, a scripted player (easy, medium, hard) or random."""
    episodes: int = 3
    """Episodes to show; 0 for no end."""
    seed: int = EVALUATION_SEED
    """Of the environment, and of the drawing with --stochastic."""
    stochastic: bool = False
    """Draws actions from the policy, instead of its best ones."""
    checkpoint: str | None = None
    """A step, a file or "best"; the last one by default."""
    video: str | None = None
    """Writes a video to this file, .mp4 or .gif, instead of opening a window; needs no display."""
    max_steps: int = 10_000
    """Stops after so many steps, also within an episode; 0 for never."""
    runs_dir: str = "runs"
    """Folder of run folders."""
    module: Modules = ()
    """A module of your own that the run needs."""


def main(argv: list[str]) -> int:
    """`quintet play ...`; returns the exit code."""
    given, words = flags.split_env_options(argv)
    options = flags.parse(Options, words, "quintet play")
    _check(options, given)
    import_modules(options.module)
    if options.human:
        return _play_by_hand(options, given)
    run = runs.find(options.run, options.runs_dir)
    run_config = runs.read_config(run)
    if options.video:
        os.environ["SDL_VIDEODRIVER"] = "dummy"
    if options.versus or run_config.algorithm == "league":
        _watch_teams(run_config, options)
    else:
        _watch_agent(run_config, runs.find_checkpoint(run, options.checkpoint), options)
    if options.video:
        print(f"video: {options.video}")
    return 0


def _screen(options: Options, envs: Any) -> Any:
    """A video or a window, to be closed."""
    fps = max(1, round(envs.metadata.get("render_fps") or 30))
    return contextlib.closing(Video(Path(options.video), fps) if options.video else Window(fps))


def _watch_agent(run_config: runs.RunConfig, path: Path, options: Options) -> None:
    from agents.rollout import EnvError
    from experiments.trained import environment, load_policy

    envs = make_one(environment(run_config))
    policy = load_policy(run_config, path, envs)
    broken = as_input_error(EnvError, prefix=f"{run_config.env_id} broke down: ")
    with broken, _screen(options, envs) as screen:
        play(policy, envs, screen, options)
    close(envs)


def _watch_teams(run_config: runs.RunConfig, options: Options) -> None:
    from experiments import versus
    from experiments.matches import Teams
    from experiments.trained import environment

    choice = environment(run_config)
    envs = make_world(EnvChoice(choice.id, versus.tick_by_tick(choice.options)))
    first = versus.player_of(options.run, envs, options.runs_dir, options.checkpoint)
    second = versus.player_of(options.versus or versus.best_scripted(envs), envs, options.runs_dir)
    teams = Teams(envs, first, second, options.seed, deterministic=not options.stochastic)
    with _screen(options, envs) as screen:
        versus.watch(envs, teams, screen, options.seed, options.episodes, options.max_steps)
    close(envs)


def _play_by_hand(options: Options, given: dict[str, Any]) -> int:
    from experiments import human, versus

    choice, run = _match(options, given)
    if not choice.is_world:
        raise InputError(f"a person can only play Quintet's worlds, and {choice.id} is none; `quintet envs` lists them")
    together = run is not None or options.versus is not None
    num_seats = make_world(choice).world.num_seats
    if not 0 <= options.seat < num_seats:
        raise InputError(f"--seat {options.seat}: {choice.id} has seats 0 to {num_seats - 1}")
    envs = make_world(choice, None if together else (options.seat,))
    pilot = human.pilot_for(envs, options.seat)
    others, against = (
        versus.around(envs, options, run) if together else (None, versus.scripted_against(envs, options.seat))
    )
    row = options.seat if together else 0

    def report(episode: dict[str, Any]) -> str:
        return versus.log_game(options.runs_dir, choice.id, against, episode, row)

    print(f"{choice.id}, seat {options.seat} · {pilot.keys} · space: pause, Esc: end", flush=True)
    with contextlib.closing(PlayWindow(pilot.fps or envs.world.render_fps)) as screen:
        game = human.Game(envs, row, pilot, others, screen, report if versus.is_match(envs) else None)
        game.play(options.seed, options.episodes, options.max_steps)
    close(envs)
    return 0


def _match(options: Options, given: dict[str, Any]) -> tuple[EnvChoice, str | None]:
    """The world to play, and the run, if it is one's, whose agent plays beside the person."""
    from experiments import versus

    folders = (Path(options.run), Path(options.runs_dir) / options.run, runs.SHIPPED / options.run)
    if options.run != "latest" and not any(folder.is_dir() for folder in folders):
        return choose(options.run, given), None
    run_config = runs.read_config(runs.find(options.run, options.runs_dir))
    return choose(run_config.env_id, {**versus.tick_by_tick(run_config.env_options), **given}), options.run


def _check(options: Options, given: dict[str, Any]) -> None:
    if not options.human and (given or options.seat):
        raise InputError("--env.KEY and --seat go with --human; an agent is watched in the world it was trained on")
    if options.human and options.video:
        raise InputError("--video and --human don't go together: a person plays in a window")
    if options.episodes < 0 or options.max_steps < 0:
        raise InputError("--episodes and --max-steps must be at least 0, which means no end")
    check_seed(options.seed)
    if options.video:
        check_file("--video", options.video, ".mp4", ".gif")
        if not (options.episodes or options.max_steps):
            raise InputError("a video must end: give --episodes or --max-steps")


def play(policy: Any, envs: Any, screen: Any, options: Options) -> list[tuple[float, int]]:
    """Plays episodes in a batch of one on a screen, a `Video` or a `Window`, and prints a line for each.

    Returns:
        (return, length) of each episode that ended.
    """
    import torch

    from agents.rollout import Collector

    collector, painter = Collector(envs, seed=options.seed), Painter(envs)
    collector.memory = policy.initial_memory(1)
    generator = torch.Generator().manual_seed(options.seed)
    rollout = collector.new_rollout(1)

    def act(obs: Any, mask: Any, memory: Any, starts: Any) -> tuple:
        deterministic = not options.stochastic
        return *policy.act(obs, mask, memory, starts, deterministic=deterministic, generator=generator), {}

    played: list[tuple[float, int]] = []
    total = 0.0
    go_on = screen.show(painter.picture(), "episode 1")
    for step in itertools.count(1):
        if not go_on or 0 < options.episodes <= len(played):
            return played
        if 0 < options.max_steps < step:
            say_cut_off(options.max_steps)
            return played
        collector.collect(act, rollout)
        total = total + float(rollout.rewards[0, 0]) if rollout.valid[0, 0] else 0.0
        for value, length in collector.episodes.pop():
            played.append((value, length))
            print(f"episode {len(played)}: return {value:.2f} in {length} steps", flush=True)
        painter.set_look(screen.look)
        go_on = screen.show(painter.picture(), f"episode {len(played) + 1} · return {total:.2f}")
    return played
