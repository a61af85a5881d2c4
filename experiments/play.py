"""`quintet play`: watch a trained agent, in a window or in a video."""

import contextlib
import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments import flags, runs
from experiments.errors import InputError
from experiments.flags import Modules
from experiments.worlds import EVALUATION_SEED, EnvChoice, import_modules, make_one

Show = Callable[[np.ndarray, str], bool]
"""(picture uint8 `[height, width, 3]`, title) -> whether to go on."""


@dataclass(frozen=True)
class Options:
    """Shows a trained agent playing. In the window: space pauses, up and down change the speed, q or Escape ends."""

    run: flags.Run
    """Run folder, a name in --runs-dir, or "latest"."""
    episodes: int = 3
    """Episodes to show; 0 for no end."""
    seed: int = EVALUATION_SEED
    """Of the environment, and of the drawing with --stochastic."""
    stochastic: bool = False
    """Draws actions from the policy, instead of its best ones."""
    checkpoint: str | None = None
    """A step or a file; the last one by default."""
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
    options = flags.parse(Options, argv, "quintet play")
    _check(options)
    run = runs.find(options.run, options.runs_dir)
    run_config, path = runs.read_config(run), runs.find_checkpoint(run, options.checkpoint)
    import_modules(options.module)
    if options.video:
        os.environ["SDL_VIDEODRIVER"] = "dummy"
    envs, policy = _player(run_config, path)
    fps = int(envs.metadata.get("render_fps") or 30)
    with contextlib.closing(Video(Path(options.video), fps) if options.video else Window(fps)) as screen:
        play(policy, envs, screen.show, options)
    envs.close()
    if options.video:
        print(f"video: {options.video}")
    return 0


def _check(options: Options) -> None:
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


def play(policy: Any, envs: Any, show: Show, options: Options) -> list[tuple[float, int]]:
    """Plays episodes in a batch of one that draws itself, and prints a line for each.

    Returns:
        (return, length) of each episode that ended.
    """
    import torch

    from agents.rollout import Collector

    collector = Collector(envs, seed=options.seed)
    collector.memory = policy.initial_memory(1)
    generator = torch.Generator().manual_seed(options.seed)
    rollout = collector.new_rollout(1)

    def act(obs: Any, mask: Any, memory: Any, starts: Any) -> tuple:
        deterministic = not options.stochastic
        return *policy.act(obs, mask, memory, starts, deterministic=deterministic, generator=generator), {}

    played: list[tuple[float, int]] = []
    total = 0.0
    go_on = show(_picture(envs), "episode 1")
    for step in itertools.count(1):
        if not go_on or step == options.max_steps + 1 or 0 < options.episodes <= len(played):
            return played
        collector.collect(act, rollout)
        total = total + float(rollout.rewards[0, 0]) if rollout.valid[0, 0] else 0.0
        for value, length in collector.pop_episodes():
            played.append((value, length))
            print(f"episode {len(played)}: return {value:.2f} in {length} steps", flush=True)
        go_on = show(_picture(envs), f"episode {len(played) + 1} · return {total:.2f}")
    return played


def _picture(envs: Any) -> np.ndarray:
    if "rgb_array" not in envs.metadata.get("render_modes", ()):
        raise InputError("the environment draws no pictures, so it can't be watched: its render_modes lack 'rgb_array'")
    try:
        pictures = envs.render()
    except ValueError as error:
        raise InputError(str(error)) from error
    if not pictures or pictures[0] is None:
        raise InputError(f"{envs.spec.id if envs.spec else 'the environment'} has no picture to show")
    return np.asarray(pictures[0], np.uint8)


class Video:
    """A file that pictures are added to."""

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
        """Acts on keys, and waits while paused."""
        pygame, paused = self.pygame, False
        while True:
            for event in pygame.event.get():
                key = event.key if event.type == pygame.KEYDOWN else None
                if event.type == pygame.QUIT or key in (pygame.K_q, pygame.K_ESCAPE):
                    return False
                if key == pygame.K_SPACE:
                    paused = not paused
                if key in (pygame.K_UP, pygame.K_DOWN):
                    self.fps = min(480.0, max(1.0, self.fps * (2 if key == pygame.K_UP else 0.5)))
            if not paused:
                return True
            self.clock.tick(30)

    def close(self) -> None:
        """Closes the window."""
        self.pygame.quit()
