"""Watching: whole episodes to the last picture, in a video or a window."""

from pathlib import Path

import gymnasium
import imageio.v2 as imageio
import numpy as np
import pytest

from experiments import runs, screens
from experiments.cli import main


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on one of Gymnasium's environments."""
    folder = tmp_path_factory.mktemp("runs")
    words = ["ppo", "CartPole-v1", "--total-timesteps", "512", "--num-envs", "4", "--num-steps", "64"]
    assert main(["train", *words, "--runs-dir", str(folder), "--eval-episodes", "0"]) == 0
    return runs.known_runs(folder)[0]


def lengths(said: str) -> list[int]:
    """Steps of the episodes that `play` has told of."""
    return [int(line.split()[-2]) for line in said.splitlines() if line.startswith("episode")]


def test_an_mp4_has_every_picture(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    video = tmp_path / "new" / "play.mp4"
    assert main(["play", str(run), "--episodes", "2", "--stochastic", "--video", str(video)]) == 0
    said = capsys.readouterr().out
    played = lengths(said)
    assert len(played) == 2 and f"video: {video}" in said
    reader = imageio.get_reader(video)
    assert reader.get_meta_data()["size"] == (600, 400)
    assert len(list(reader.iter_data())) == sum(played) + 2
    assert reader.get_data(5).std() > 0


def test_a_gif_stops_in_time_and_says_so(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    video = tmp_path / "play.gif"
    assert main(["play", str(run), "--max-steps", "8", "--video", str(video)]) == 0
    assert "cut off after 8 steps" in capsys.readouterr().out
    assert 1 < len(imageio.get_reader(video)) <= 9


def test_the_seed_decides(run: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for seed in ("3", "3", "4"):
        monkeypatch.setattr(screens.Video, "show", lambda self, picture, title: True)
        main(["play", str(run), "--episodes", "3", "--stochastic", "--seed", seed, "--video", "unused.mp4"])
        seen.append(lengths(capsys.readouterr().out))
    assert seen[0] == seen[1] != seen[2]


def test_a_window_opens_and_closes(run: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    import pygame

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pictures = []
    show = screens.Window.show

    def show_and_close(self: screens.Window, picture: np.ndarray, title: str) -> bool:
        self.fps = 480
        pictures.append(picture)
        if len(pictures) == 5:
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_q))
        return show(self, picture, title)

    monkeypatch.setattr(screens.Window, "show", show_and_close)
    assert main(["play", str(run), "--episodes", "0"]) == 0
    assert len(pictures) == 5
    assert not pygame.display.get_init()


def test_space_pauses_and_arrows_change_the_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    import pygame

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    window = screens.Window(400)
    picture = np.zeros((40, 60, 3), np.uint8)
    assert window.show(picture, "")
    for key in (pygame.K_SPACE, pygame.K_UP, pygame.K_SPACE):
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))
    assert window.show(picture, "")
    assert window.fps == 480
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    assert not window.show(picture, "")
    window.close()


def test_without_a_display_a_video_is_proposed(
    run: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "no_such_driver")
    assert main(["play", str(run)]) == 2
    assert "--video" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["--video", "play.avi"], "must end in .mp4 or .gif"),
        (["--video", "play.mp4", "--episodes", "0", "--max-steps", "0"], "a video must end"),
        (["--episodes", "-1"], "at least 0"),
    ],
)
def test_bad_requests(run: Path, words: list[str], answer: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["play", str(run), *words]) == 2
    assert answer in capsys.readouterr().err


class Blind(gymnasium.Env):
    """Has nothing to show."""

    metadata = {"render_modes": []}  # noqa: RUF012
    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        return np.zeros(2, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        return np.zeros(2, np.float32), 0.0, True, False, {}


def test_an_environment_without_a_picture_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    gymnasium.register("Blind-v0", entry_point=lambda **options: Blind(**options))
    words = ["ppo", "Blind-v0", "--total-timesteps", "64", "--num-envs", "2", "--num-steps", "32"]
    assert main(["train", *words, "--runs-dir", str(tmp_path), "--eval-episodes", "1"]) == 0
    assert main(["play", "latest", "--runs-dir", str(tmp_path), "--video", str(tmp_path / "a.mp4")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
