"""`quintet play`: watch a trained agent, in a window or in a video, or play by hand."""

import contextlib
import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments import flags, runs
from experiments.errors import InputError
from experiments.flags import Modules
from experiments.human import Hands
from experiments.pictures import Painter
from experiments.worlds import EVALUATION_SEED, EnvChoice, choose, import_modules, make_one, make_world


@dataclass(frozen=True)
class Options:
    """Shows a trained agent playing, or lets a person play. In the window: space pauses, up and down change the speed,
    F1, F2, F3 change the look where a world has several, q or Escape ends.

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
    run_config, path = runs.read_config(run), runs.find_checkpoint(run, options.checkpoint)
    if options.video:
        os.environ["SDL_VIDEODRIVER"] = "dummy"
    envs, policy = _player(run_config, path)
    fps = int(envs.metadata.get("render_fps") or 30)
    with contextlib.closing(Video(Path(options.video), fps) if options.video else Window(fps)) as screen:
        play(policy, envs, screen, options)
    envs.close()
    if options.video:
        print(f"video: {options.video}")
    return 0


def _play_by_hand(options: Options, given: dict[str, Any]) -> int:
    from experiments import human
    from experiments.trained import load_policy

    choice, trained = _match(options, given)
    if not choice.is_world:
        raise InputError(f"a person can only play Quintet's worlds, and {choice.id} is none; `quintet envs` lists them")
    seats = None if trained else (options.seat,)
    envs = make_world(choice, seats)
    if not 0 <= options.seat < envs.world.num_seats:
        raise InputError(f"--seat {options.seat}: {choice.id} has seats 0 to {envs.world.num_seats - 1}")
    pilot = human.pilot_for(envs, options.seat)
    others = human.by_policy(load_policy(*trained, envs), envs.num_envs, options.seed) if trained else None
    row = options.seat if trained else 0
    print(f"{choice.id}, seat {options.seat} · {pilot.keys} · space: pause, Esc: end", flush=True)
    with contextlib.closing(PlayWindow(pilot.fps or envs.world.render_fps)) as screen:
        human.Game(envs, row, pilot, others, screen).play(options.seed, options.episodes, options.max_steps)
    envs.close()
    return 0


def _match(options: Options, given: dict[str, Any]) -> tuple[EnvChoice, tuple[runs.RunConfig, Path] | None]:
    """The world to play, and the run whose agent plays the other seats."""
    folder = Path(options.runs_dir) / options.run
    if options.run != "latest" and not folder.is_dir() and not Path(options.run).is_dir():
        return choose(options.run, given), None
    run = runs.find(options.run, options.runs_dir)
    run_config, path = runs.read_config(run), runs.find_checkpoint(run, options.checkpoint)
    return choose(run_config.env_id, {**run_config.env_options, **given}), (run_config, path)


def _check(options: Options, given: dict[str, Any]) -> None:
    if not options.human and (given or options.seat):
        raise InputError("--env.KEY and --seat go with --human; an agent is watched in the world it was trained on")
    if options.human and options.video:
        raise InputError("--video and --human don't go together: a person plays in a window")
    if options.episodes < 0 or options.max_steps < 0:
        raise InputError("--episodes and --max-steps must be at least 0, which means no end")
    if options.video:
        if Path(options.video).suffix not in (".mp4", ".gif"):
            raise InputError(f"--video {options.video}: the file's name must end in .mp4 or .gif")
        if not (options.episodes or options.max_steps):
            raise InputError("a video must end: give --episodes or --max-steps")


def _player(run_config: runs.RunConfig, path: Path) -> tuple[Any, Any]:
    from experiments.trained import environment, load_policy

    choice: EnvChoice = environment(run_config)
    envs = make_one(choice)
    return envs, load_policy(run_config, path, envs)


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
        if not go_on or step == options.max_steps + 1 or 0 < options.episodes <= len(played):
            return played
        collector.collect(act, rollout)
        total = total + float(rollout.rewards[0, 0]) if rollout.valid[0, 0] else 0.0
        for value, length in collector.pop_episodes():
            played.append((value, length))
            print(f"episode {len(played)}: return {value:.2f} in {length} steps", flush=True)
        painter.set_look(screen.look)
        go_on = screen.show(painter.picture(), f"episode {len(played) + 1} · return {total:.2f}")
    return played


class Video:
    """A file that pictures are added to."""

    look = 0

    def __init__(self, path: Path, fps: int) -> None:
        import imageio.v2 as imageio

        self.path = path
        options: dict[str, Any] = {"fps": fps, "macro_block_size": 2}
        if path.suffix == ".gif":
            options = {"duration": 1000 / min(fps, 50), "loop": 0}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.writer: Any = imageio.get_writer(path, **options)
        except OSError as error:
            raise InputError(f"can't write --video {path}: {error.strerror or error}") from error

    def show(self, picture: np.ndarray, title: str) -> bool:
        """Adds a picture; a video has no title. The last one stays within even bounds, which mp4 needs."""
        height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
        self.writer.append_data(picture[:height, :width])
        return True

    def close(self) -> None:
        """Completes the file."""
        self.writer.close()


class Window:
    """A pygame window that shows pictures at their speed."""

    def __init__(self, fps: int) -> None:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        import pygame

        self.pygame: Any = pygame
        self.fps: float = fps
        self.look = 0
        self.ends = pygame.K_q, pygame.K_ESCAPE
        self.speeds = {pygame.K_UP: 2.0, pygame.K_DOWN: 0.5}
        self.surface: Any = None
        self.clock = pygame.time.Clock()
        try:
            pygame.display.init()
            unseen = pygame.display.get_driver() in ("dummy", "offscreen") and "SDL_VIDEODRIVER" not in os.environ
        except pygame.error:
            unseen = True
        if unseen:
            raise InputError("there is no display to open a window on; write a video instead: --video play.mp4")

    def show(self, picture: np.ndarray, title: str) -> bool:
        """Shows a picture until the next one's time; False once the window is closed."""
        pygame = self.pygame
        if self.surface is None:
            self.surface = pygame.display.set_mode((picture.shape[1], picture.shape[0]), pygame.RESIZABLE)
        frame = pygame.surfarray.make_surface(picture.swapaxes(0, 1))
        self.surface.blit(pygame.transform.smoothscale(frame, self.surface.get_size()), (0, 0))
        pygame.display.set_caption(f"quintet · {title}")
        pygame.display.flip()
        self.clock.tick(self.fps)
        return self._keys()

    def _keys(self) -> bool:
        """Acts on events, and waits while paused."""
        paused = False
        while True:
            for event in self.pygame.event.get():
                key = event.key if event.type == self.pygame.KEYDOWN else None
                if event.type == self.pygame.QUIT or key in self.ends:
                    return False
                if key == self.pygame.K_SPACE:
                    paused = not paused
                if key in self.speeds:
                    self.fps = min(480.0, max(1.0, self.fps * self.speeds[key]))
                if key is not None and self.pygame.K_F1 <= key <= self.pygame.K_F12:
                    self.look = key - self.pygame.K_F1
                self.note(event)
            if not paused:
                return True
            self.clock.tick(30)

    def note(self, event: Any) -> None:
        """What else an event means; nothing to one who only watches."""

    def close(self) -> None:
        """Closes the window."""
        self.pygame.quit()


class PlayWindow(Window):
    """A window that also notes what a person's hands do. Its letters and arrows are the game's; only Escape ends."""

    def __init__(self, fps: int) -> None:
        super().__init__(fps)
        pygame = self.pygame
        self.ends = (pygame.K_ESCAPE,)
        self.speeds = {pygame.K_PLUS: 1.25, pygame.K_EQUALS: 1.25, pygame.K_KP_PLUS: 1.25}
        self.speeds |= {pygame.K_MINUS: 0.8, pygame.K_KP_MINUS: 0.8}
        self.pressed: list[str] = []
        self.down: set[str] = set()
        self.click: tuple[float, float] | None = None
        self.mouse = (0.0, 0.0)
        self.size = (1, 1)

    def show(self, picture: np.ndarray, title: str) -> bool:
        """As a `Window`."""
        self.size = picture.shape[1], picture.shape[0]
        return super().show(picture, title)

    def note(self, event: Any) -> None:
        """Keys and mouse."""
        pygame = self.pygame
        if event.type == pygame.KEYDOWN:
            self.pressed.append(pygame.key.name(event.key))
            self.down.add(pygame.key.name(event.key))
        elif event.type == pygame.KEYUP:
            self.down.discard(pygame.key.name(event.key))
        elif event.type in (pygame.MOUSEMOTION, pygame.MOUSEBUTTONDOWN):
            shown = self.surface.get_size()
            self.mouse = event.pos[0] * self.size[0] / shown[0], event.pos[1] * self.size[1] / shown[1]
            if event.type == pygame.MOUSEBUTTONDOWN and event.button in (1, 3):
                self.click = self.mouse

    def hands(self) -> Hands:
        """What was done since the last call."""
        done = Hands(tuple(self.pressed), frozenset(self.down | set(self.pressed)), self.click, self.mouse)
        self.pressed, self.click = [], None
        return done
