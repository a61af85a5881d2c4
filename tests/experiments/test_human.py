"""Playing by hand: hands become actions without any window, and events in a window become hands."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from gymnasium import spaces

import envs
from envs.arena import arena, data, duel
from envs.arena.draw import lay_out
from envs.arena.draw_terrain import edges
from envs.arena.map import DX, DY
from envs.arena.state import ATTACK, BUY, CAST, MOVE, RECALL, STOP, WARD
from envs.engine.rules import World
from experiments import human, screens
from experiments.cli import main
from experiments.errors import InputError
from experiments.human import ArrowPilot, Hands
from experiments.human_arena import FIGHT, HOME_RECALL, IDLE, WALK, HeroPilot, Order, Sight, decide, distances, is_arena
from experiments.pictures import Painter
from tests import probe_worlds
from tests.arena_records import game, place


def test_arrow_keys_are_actions() -> None:
    two, three, four = (ArrowPilot(spaces.Discrete(n)) for n in (2, 3, 4))
    held = {key: Hands(held=frozenset({key})) for key in human.ARROWS}
    assert [two.act(hands, None, None) for hands in (held["right"], Hands(), held["left"], Hands())] == [1, 1, 0, 0]
    assert [three.act(hands, None, None) for hands in (held["left"], Hands(), held["right"])] == [0, 1, 2]
    assert four.act(Hands(), None, None) is None
    assert [four.act(held[key], None, None) for key in human.ARROWS] == [0, 1, 2, 3]
    assert four.act(held["up"], None, np.array([1, 1, 1, 0], np.bool_)) is None
    number = ArrowPilot(spaces.Box(-2, 2, (1,), np.float32))
    pushes = [number.act(hands, None, None) for hands in (held["left"], Hands(), held["right"])]
    assert np.concatenate([push for push in pushes if push is not None]).tolist() == [-2, 0, 2]


def sight_of(world: World, seat: int = 0) -> Sight:
    """A seat's, all verbs legal; its table of targets holds the enemy's last hero, itself and the enemy's tower."""
    state, params, _ = game(world)
    assert world.action_layout is not None
    verbs, rows, _ = world.action_layout.sizes
    one = Sight(state, params, world.tables["cells"], seat, *legal(verbs, rows))
    enemy = np.flatnonzero((params.slot_faction == 1 - one.team) & (params.slot_kind == data.HERO))[-1]
    tower = np.flatnonzero((params.slot_faction == 1 - one.team) & (params.slot_kind == data.TOWER_1))[0]
    state.row[seat, [0, world.num_seats // 2, rows - 2]] = enemy, one.me, tower
    one.rows[:, [0, rows - 2]] = True
    one.rows[3] = False
    one.rows[3, world.num_seats // 2] = True
    place(state, one.me, 2.0, 0.5)
    place(state, int(enemy), 6.0, 0.5)
    return one


def legal(verbs: int, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks: every verb and direction, no target."""
    return np.ones(verbs, np.bool_), np.zeros((5, rows), np.bool_), np.ones(8, np.bool_)


def pixel(sight: Sight, x: float, y: float) -> tuple[float, float]:
    """Of the picture, where a place on the map is."""
    left, top, right, bottom = around = edges(sight.params, sight.cells)
    box = lay_out(around).field
    return box[0] + (x - left) / (right - left) * box[2], box[1] + (y - top) / (bottom - top) * box[3]


@pytest.mark.parametrize("seat", [0, 1])
def test_a_click_on_the_ground_is_a_walk_there(seat: int) -> None:
    sight = sight_of(duel(), seat)
    order, place_before = Order(), sight.at(sight.me)
    action, order = decide(Hands(click=pixel(sight, 2.0, -2.0)), order, sight)
    assert order.what == WALK and action[0] == MOVE
    for _ in range(40):
        if action[0] == STOP:
            break
        sign = 1 - 2 * sight.team
        step = 0.6 * sign * np.array([DX[action[2]], DY[action[2]]]) / np.hypot(DX[action[2]], DY[action[2]])
        place(sight.state, sight.me, *(np.array(sight.at(sight.me)) + step))
        action, order = decide(Hands(), order, sight)
    assert order == Order() and sight.at(sight.me) != place_before
    assert np.hypot(*np.subtract(sight.at(sight.me), (2.0, -2.0))) < 0.6


def test_an_illegal_direction_is_not_taken() -> None:
    sight = sight_of(duel())
    straight, _ = decide(Hands(click=pixel(sight, 2.0, -2.0)), Order(), sight)
    sight.directions[straight[2]] = False
    around, _ = decide(Hands(click=pixel(sight, 2.0, -2.0)), Order(), sight)
    assert around[0] == MOVE and around[2] != straight[2]
    sight.directions[:] = False
    assert decide(Hands(click=pixel(sight, 2.0, -2.0)), Order(), sight)[0][0] == STOP


@pytest.mark.parametrize("make", [duel, arena])
def test_a_click_on_an_enemy_is_an_attack_until_it_is_dead(make: Callable[[], World]) -> None:
    sight = sight_of(make())
    enemy = int(sight.targets[0])
    action, order = decide(Hands(click=pixel(sight, 6.2, 0.6)), Order(), sight)
    assert order == Order(FIGHT, unit=enemy) and action.tolist() == [ATTACK, 0, 0]
    sight.rows[0, 0] = False
    assert decide(Hands(), order, sight)[0][0] == MOVE
    sight.state.health[enemy] = 0
    assert decide(Hands(), order, sight)[1].what == IDLE


def test_an_idle_hero_strikes_whom_it_reaches() -> None:
    sight = sight_of(duel())
    assert decide(Hands(), Order(), sight)[0].tolist() == [ATTACK, 0, 0]
    sight.state.reach[sight.me] = 1
    assert decide(Hands(), Order(), sight)[0].tolist() == [STOP, 0, 0]


def test_keys_cast_at_the_target_nearest_the_mouse() -> None:
    sight = sight_of(duel())
    rows, own = sight.rows.shape[1], 1
    tower = int(sight.targets[rows - 2])
    near_hero, near_tower = pixel(sight, 6, 1), pixel(sight, *sight.at(tower))
    assert decide(Hands(("q",), mouse=near_hero), Order(), sight)[0].tolist() == [CAST, 0, 0]
    assert decide(Hands(("w",), mouse=near_tower), Order(), sight)[0].tolist() == [CAST + 1, rows - 2, 0]
    assert decide(Hands(("e",), mouse=near_hero), Order(), sight)[0].tolist() == [CAST + 2, own, 0]
    sight.verbs[CAST] = False
    assert decide(Hands(("q",), mouse=near_hero), Order(WALK, (2.0, -3.0)), sight)[0][0] == MOVE


def test_recall_lasts_wards_do_not_and_stop_stops() -> None:
    sight = sight_of(duel())
    sight.state.reach[sight.me] = 1
    action, order = decide(Hands(("b",)), Order(), sight)
    assert action[0] == RECALL and order.what == HOME_RECALL
    action, order = decide(Hands(("v",)), order, sight)
    assert action[0] == WARD and decide(Hands(), order, sight)[0][0] == RECALL
    assert decide(Hands(("s",)), order, sight) == (pytest.approx([STOP, 0, 0]), Order())
    sight.state.health[sight.me] = 0
    assert decide(Hands(("q",)), order, sight) == (pytest.approx([STOP, 0, 0]), Order())


def test_numbers_buy_where_the_shop_is_the_players() -> None:
    sight = sight_of(duel(shopping="policy"))
    assert decide(Hands(("3",)), Order(), sight)[0][0] == BUY + 2
    assert decide(Hands(("3",)), Order(), sight_of(duel()))[0][0] == ATTACK


def test_walkers_are_drawn_on_their_way_and_leapers_where_they_are() -> None:
    world = duel()
    before, params, _ = game(world)
    after = before.copy()
    after.x[0], after.x[1] = before.x[0] + 0.6, before.x[1] + 5
    batch = SimpleNamespace(params=np.array([params]).view(np.recarray))
    blend = HeroPilot(batch, 0).between(before, after, 1)
    assert blend.x[0] == pytest.approx(before.x[0] + 0.2) and blend.x[1] == after.x[1]


def test_ways_lead_round_walls() -> None:
    cells = np.zeros((6, 8), np.uint8)
    cells[1:, 3] = 1
    found = distances(cells.tobytes(), 8, (5, 6))
    assert found[5, 6] == 0 and np.isinf(found[4, 3]) and found[5, 0] > 10


def test_the_arena_has_a_pilot_and_strange_spaces_have_none() -> None:
    world = duel()
    state, params, _ = game(world)
    batch = SimpleNamespace(world=world, params=np.array([params]).view(np.recarray), state=state,
                            action_layout=world.action_layout, single_action_space=world.action_space)  # fmt: skip
    assert is_arena(batch) and isinstance(human.pilot_for(batch, 1), HeroPilot)
    strange = SimpleNamespace(
        world=SimpleNamespace(name="Odd"), params=np.zeros(1, []), state=np.zeros(1, [("x", "f4")])
    )
    strange.single_action_space = spaces.MultiDiscrete([2, 2])
    with pytest.raises(InputError, match="a person can't play Odd"):
        human.pilot_for(strange, 0)


def press(monkeypatch: pytest.MonkeyPatch, script: dict[int, list[Any]]) -> list[np.ndarray]:
    """Runs windows off screen at full speed, posting pygame events before given pictures; the pictures shown."""
    import pygame

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pictures: list[np.ndarray] = []
    show = screens.PlayWindow.show

    def show_and_post(self: screens.PlayWindow, picture: np.ndarray, title: str) -> bool:
        self.fps = 480
        pictures.append(picture)
        go_on = show(self, picture, title)
        for kind, fields in script.get(len(pictures), []):
            pygame.event.post(pygame.event.Event(kind, **fields))
        return go_on

    monkeypatch.setattr(screens.PlayWindow, "show", show_and_post)
    return pictures


def test_a_grid_world_waits_for_arrow_keys(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    import pygame

    tap = [(pygame.KEYDOWN, {"key": pygame.K_DOWN}), (pygame.KEYUP, {"key": pygame.K_DOWN})]
    escape = [(pygame.KEYDOWN, {"key": pygame.K_ESCAPE})]
    pictures = press(monkeypatch, {3: tap, 6: escape})
    assert main(["play", "quintet/GridWorld-v0", "--human"]) == 0
    assert "arrow keys" in capsys.readouterr().out
    assert (pictures[0] == pictures[3]).all() and (pictures[3] != pictures[4]).any() and len(pictures) == 7


def test_an_episode_by_hand_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    import pygame

    press(monkeypatch, {1: [(pygame.KEYDOWN, {"key": pygame.K_RIGHT})]})
    assert main(["play", "quintet/CartPole-v1", "--human", "--episodes", "1"]) == 0
    steps = int(capsys.readouterr().out.split("episode 1: ")[1].split()[-2])
    assert 7 <= steps <= 12


class Waiter:
    """Never does anything."""

    keys, fps, look, frames = "", 0, 0, 1

    def act(self, hands: Hands, state: Any, mask: np.ndarray | None) -> np.ndarray:
        """The first verb."""
        assert mask is not None and mask.ndim == 1
        return np.zeros(2, np.int64)

    def mark(self, painter: Painter, state: Any) -> None:
        """Nothing."""

    def between(self, before: Any, after: Any, frame: int) -> Any:
        """Nothing."""


def test_others_play_the_other_seats(monkeypatch: pytest.MonkeyPatch) -> None:
    class Others:
        began: ClassVar = []

        def act(self, obs: Any, mask: Any, starts: Any) -> np.ndarray:
            assert len(obs) == len(mask) == len(starts) == 2
            self.began.append(bool(starts.all()))
            return np.array([[probe_worlds.MOVE, 1], [probe_worlds.MOVE, 0]])

    press(monkeypatch, {})
    world = replace(probe_worlds.two_seats(), draw=lambda canvas, state, params, tables: canvas.fill((9, 9, 9)))
    batch = envs.make_vec(world, 1, autoreset_mode="NextStep")
    human.Game(batch, 1, Waiter(), Others(), screens.PlayWindow(480)).play(0, 1, 3)
    assert batch.state.action[0, :, 0].tolist() == [probe_worlds.MOVE, probe_worlds.WAIT]
    assert Others.began[:2] == [True, False]


def test_a_window_notes_hands_in_pixels_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    import pygame

    click = (pygame.MOUSEBUTTONDOWN, {"button": 3, "pos": (30, 10)})
    press(monkeypatch, {1: [click, (pygame.KEYDOWN, {"key": pygame.K_q}), (pygame.KEYDOWN, {"key": pygame.K_F2})]})
    window = screens.PlayWindow(480)
    picture = np.zeros((40, 60, 3), np.uint8)
    assert window.show(picture, "") and window.hands() == Hands()
    assert window.show(picture, "")
    assert window.hands() == Hands(("q", "f2"), frozenset({"q", "f2"}), (30, 10), (30, 10)) and window.look == 1
    assert window.hands() == Hands((), frozenset({"q", "f2"}), None, (30, 10))
    window.close()


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["CartPole-v1", "--human"], "a person can only play Quintet's worlds"),
        (["quintet/CartPol-v1", "--human"], "did you mean"),
        (["quintet/CartPole-v1", "--human", "--seat", "3"], "seat"),
        (["quintet/CartPole-v1", "--human", "--video", "a.mp4"], "don't go together"),
        (["latest", "--seat", "1"], "go with --human"),
    ],
)
def test_bad_requests(words: list[str], answer: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["play", *words]) == 2
    assert answer in capsys.readouterr().err
