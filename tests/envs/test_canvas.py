"""What renderers draw on, with no display at all."""

import os
import subprocess
import sys
from typing import Any

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


def test_places_may_be_the_float32_of_records() -> None:
    pictures = []
    for kind in (float, np.float32):
        canvas = Canvas((60, 40))
        canvas.view(0, 40, 60, 0)
        at, other, corner = [tuple(map(kind, place)) for place in ((20.25, 20.5), (40.5, 30.25), (5, 5))]
        shapes: Any = canvas
        shapes.circle(at, kind(5), RED)
        shapes.circle(other, kind(5), RED, alpha=100)
        shapes.line(at, other, BLUE, kind(2))
        shapes.polygon([at, other, corner], BLUE, alpha=50)
        pictures.append(canvas.pixels())
    assert (pictures[0] == pictures[1]).all() and len(np.unique(pictures[0].reshape(-1, 3), axis=0)) > 3


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


def test_a_box_is_all_that_its_view_paints() -> None:
    canvas = Canvas((100, 60))
    canvas.view(0, 2, 2, 0, box=(20, 10, 40, 40))
    assert canvas.pixel() == pytest.approx(2 / 40)
    canvas.fill(INK)
    canvas.circle((2, 1), 0.5, RED)
    picture = canvas.pixels()
    assert picture[11, 21].tolist() == list(INK) and picture[30, 58].tolist() == list(RED)
    assert (picture[:10] == PAPER).all() and (picture[:, :20] == PAPER).all() and (picture[:, 60:] == PAPER).all()


@pytest.mark.parametrize("shape", ["circle", "rectangle", "polygon"])
def test_translucent_shapes_let_through_what_lies_below(shape: str) -> None:
    canvas = Canvas((40, 40))
    canvas.fill((0, 0, 0))
    if shape == "circle":
        canvas.circle((20, 20), 10, (200, 100, 0), alpha=128)
    elif shape == "rectangle":
        canvas.rectangle((10, 10), (30, 30), (200, 100, 0), radius=3, alpha=128)
    else:
        canvas.polygon([(10, 10), (30, 10), (30, 30), (10, 30)], (200, 100, 0), alpha=128)
    picture = canvas.pixels().astype(int)
    assert np.abs(picture[20, 20] - (100, 50, 0)).max() <= 2 and picture[3, 3].tolist() == [0, 0, 0]
    canvas.circle((-50, -50), 5, RED, alpha=128)
    assert (canvas.pixels() == picture).all()


def test_an_arc_begins_at_the_top_and_goes_clockwise() -> None:
    for bottom, top in ((40, 0), (0, 40)):
        canvas = Canvas((40, 40))
        canvas.view(0, bottom, 40, top)
        canvas.arc((20, 20), 15, 0, 0.25, RED, 3)
        red = (canvas.pixels() == RED).all(axis=2)
        assert red[:20, 20:].sum() > 30 and not red[24:].any() and not red[:, :16].any()


def test_a_backdrop_is_painted_once() -> None:
    canvas, painted = Canvas((20, 20)), []

    def paint() -> None:
        painted.append(1)
        canvas.fill(RED)

    for key in ("a", "b", "a"):
        canvas.backdrop(key, paint)
        assert (canvas.pixels() == RED).all()
        canvas.circle((10, 10), 5, BLUE)
    assert len(painted) == 2


def test_a_shade_is_as_thick_as_its_grid_says() -> None:
    canvas = Canvas((40, 20))
    canvas.fill((200, 200, 200))
    canvas.shade((0, 0), (40, 20), np.array([[0, 255]]), (0, 0, 0))
    row = canvas.pixels()[10, :, 0].astype(int)
    assert row[0] > 190 and row[-1] < 10 and (np.diff(row) <= 0).all()


def test_large_pictures_have_text_as_wide_as_small_ones() -> None:
    small, large = Canvas((100, 40)), Canvas((1000, 800))
    assert small.text_width("words", 24) == pytest.approx(large.text_width("words", 24), rel=0.1)


def test_function_keys_choose_the_look(monkeypatch: pytest.MonkeyPatch) -> None:
    import pygame

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    canvas = Canvas((60, 40), window="test", fps=1000)
    assert canvas.look == 0
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_F3))
    canvas.show()
    assert canvas.look == 2 and not canvas.closed
    canvas.close()


def test_a_window_opens_shows_and_closes() -> None:
    canvas = Canvas((60, 40), window="test", fps=1000)
    canvas.show()
    assert not canvas.closed
    canvas.close()
