"""What renderers draw on, with no display at all."""

import os
import subprocess
import sys

import gymnasium
import numpy as np
import pytest

import envs
from envs.engine.canvas import Canvas
from envs.engine.colors import BLUE, INK, PAPER, RED


def test_shapes_land_where_the_view_puts_them() -> None:
    canvas = Canvas((200, 100))
    canvas.view(0, 0, 20, 10)
    canvas.rectangle((0, 0), (10, 5), (255, 0, 0))
    canvas.circle((15, 7.5), 1, (0, 0, 255))
    picture = canvas.pixels()
    assert picture.shape == (100, 200, 3) and picture.dtype == np.uint8
    assert picture[75, 50].tolist() == [255, 0, 0] and picture[25, 150].tolist() == [0, 0, 255]
    assert picture[25, 50].tolist() == list(PAPER)


def test_text_is_drawn_and_aligned() -> None:
    left, right = Canvas((200, 40)), Canvas((200, 40))
    left.text("words", (100, 20), 24)
    right.text("words", (100, 20), 24, align="right")
    ink = [np.flatnonzero((canvas.pixels() != PAPER).any(axis=(0, 2))) for canvas in (left, right)]
    assert ink[0].min() >= 99 and ink[1].max() <= 101


@pytest.mark.parametrize("id", envs.registered_worlds())
def test_every_world_draws_and_its_pictures_change(id: str) -> None:
    env = gymnasium.make(id, render_mode="rgb_array")
    env.reset(seed=1)
    env.action_space.seed(2)
    first = np.asarray(env.render())
    for _ in range(12):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()
    second = np.asarray(env.render())
    assert first.shape == second.shape and first.std() > 5 and (first != second).any()


def test_drawing_needs_no_display() -> None:
    program = (
        "import gymnasium, envs; env = gymnasium.make('quintet/CartPole-v1', render_mode='rgb_array');"
        "env.reset(seed=0); print(env.render().std() > 5)"
    )
    environ = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "SDL_VIDEODRIVER", "WAYLAND_DISPLAY")}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr


def test_a_missing_pygame_is_named_and_only_when_something_is_drawn() -> None:
    program = (
        "import sys; sys.modules['pygame'] = None; import gymnasium, envs;"
        "env = gymnasium.make('quintet/CartPole-v1', render_mode='rgb_array'); env.reset(seed=0); env.render()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "ImportError: drawing needs pygame: pip install pygame-ce"


def test_lines_polygons_and_arrows_cover_their_points_with_smooth_edges() -> None:
    canvas = Canvas((100, 100))
    canvas.view(-1, -1, 1, 1)
    canvas.lines([(-0.8, -0.8), (0, 0), (0.8, -0.8)], INK, 0.1)
    canvas.polygon([(-0.8, 0.3), (-0.3, 0.3), (-0.5, 0.8)], RED)
    canvas.arrow((0.2, 0.5), (0.8, 0.5), BLUE, 0.06)
    picture = canvas.pixels()
    assert picture[50, 50].tolist() == list(INK) and picture[25, 24].tolist() == list(RED)
    assert picture[25, 65].tolist() == picture[25, 87].tolist() == list(BLUE)
    assert picture[25, 92].tolist() == list(PAPER)
    row = picture[70, :50, 0]
    assert ((row > INK[0]) & (row < PAPER[0])).any()


def test_y_grows_downwards_where_the_view_says_so() -> None:
    canvas = Canvas((40, 40))
    canvas.view(0, 4, 4, 0)
    canvas.rectangle((0, 0), (1, 1), RED)
    assert canvas.pixels()[5, 5].tolist() == list(RED)


@pytest.mark.parametrize("align", ["middle", "top"])
def test_an_unknown_alignment_is_named(align: str) -> None:
    with pytest.raises(ValueError, match=f'must be "left", "center" or "right", got {align!r}'):
        Canvas((20, 20)).text("x", (0, 0), 10, align=align)


def test_a_window_opens_shows_and_closes() -> None:
    canvas = Canvas((60, 40), window="test", fps=1000)
    canvas.show()
    assert not canvas.closed
    canvas.close()
