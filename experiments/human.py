"""`quintet play ID --human`: what a person's hands do becomes actions; worlds of few actions are played by arrow keys.

A pilot turns hands, record and mask into an action and knows nothing of windows; `pilot_for` finds the one that a world
can be played with.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from gymnasium import spaces

from experiments.errors import InputError
from experiments.pictures import Painter
from experiments.progress import say_cut_off


class Hands(NamedTuple):
    """What a person did since the last step; places are pixels of the picture."""

    pressed: tuple[str, ...] = ()
    """Keys that went down, by pygame's names, in order."""
    held: frozenset[str] = frozenset()
    """Keys that are down, or went down since."""
    click: tuple[float, float] | None = None
    """Where a mouse button was last pressed."""
    mouse: tuple[float, float] = (0.0, 0.0)


class Pilot(Protocol):
    """Plays one seat by hand."""

    keys: str
    """What the keys do, in a line."""
    fps: int
    """Steps a second that suit a person; 0: the world's own."""
    look: int
    """Of the picture, at the start."""
    frames: int
    """Pictures a step."""

    def act(self, hands: Hands, state: Any, mask: np.ndarray | None) -> np.ndarray | None:
        """One seat's action, or None to wait for the person.

        Args:
            hands: since the last step.
            state: the world's record.
            mask: bool `[M]`, or None where the world has no masks.
        """
        ...

    def mark(self, painter: Painter, state: Any) -> None:
        """Adds to the picture of a record what only the player sees."""
        ...

    def between(self, before: Any, after: Any, frame: int) -> Any:
        """What to draw as picture `frame`, 1 to `frames` - 1, on the way from one record to the next."""
        ...


class Others(Protocol):
    """Plays the rows that the person doesn't, as `matches.Teams` does."""

    def act(self, obs: Any, mask: Any, starts: Any) -> Any:
        """Actions of all rows; bool `[rows]` says where an episode starts."""
        ...


ARROWS = ("left", "down", "right", "up")
CHOICES = {
    2: {"left": 0, "right": 1},
    3: {"left": 0, "right": 2},
    4: {"left": 0, "down": 1, "right": 2, "up": 3},
}
"""Number of actions -> arrow key -> action. Of three, the middle one is done with no key held; of four, the world waits
for a key; of two, the last one goes on."""


class ArrowPilot:
    """Few actions, or one number that goes up and down, by the arrow keys."""

    fps, look, frames = 0, 0, 1

    def __init__(self, space: spaces.Space) -> None:
        self.space = space
        self.last = 0
        self.count = int(space.n) if isinstance(space, spaces.Discrete) else 0
        self.keys = "arrow keys: " + ("the four ways" if self.count == 4 else "left and right")

    def act(self, hands: Hands, state: Any, mask: np.ndarray | None) -> np.ndarray | None:
        """The arrow key that is held, as `CHOICES` says."""
        if isinstance(self.space, spaces.Box):
            push = ("right" in hands.held) - ("left" in hands.held)
            return np.array([[self.space.low[0], 0.0, self.space.high[0]][push + 1]], np.float32)
        choices = CHOICES[self.count]
        chosen = [choices[key] for key in (*hands.pressed, *sorted(hands.held)) if key in choices]
        if not chosen and self.count == 4:
            return None
        action = chosen[0] if chosen else 1 if self.count == 3 else self.last
        if mask is not None and not mask[action]:
            return None
        self.last = action
        return np.array(action, np.int64)

    def mark(self, painter: Painter, state: Any) -> None:
        """Nothing."""

    def between(self, before: Any, after: Any, frame: int) -> Any:
        """The later one."""
        return after


def pilot_for(envs: Any, seat: int) -> Pilot:
    """The pilot that a world's seat can be played with.

    Raises:
        InputError: there are no keys for its actions.
    """
    from experiments.human_arena import HeroPilot, is_arena

    space = envs.single_action_space
    if is_arena(envs):
        return HeroPilot(envs, seat)
    one_number = isinstance(space, spaces.Box) and space.shape == (1,)
    if one_number or (isinstance(space, spaces.Discrete) and int(space.n) in CHOICES):
        return ArrowPilot(space)
    raise InputError(
        f"a person can't play {envs.world.name}: there are keys for 2 to 4 actions, for one number and for heroes of "
        f"the arena, but its action space is {space}"
    )


class Game:
    """A person at one seat of one world, before a screen.

    Args:
        envs: one world that resets in the step after an episode's end.
        row: the person's.
        pilot: turns hands into actions.
        others: plays the other rows; None if there are none.
        screen: `show(picture, title) -> go on`, `hands() -> Hands` and `look`, as `screens.PlayWindow` has them.
        report: called with `infos["episode"]` after each episode; the line that it returns is printed.
    """

    def __init__(
        self, envs: Any, row: int, pilot: Pilot, others: Others | None, screen: Any,
        report: Callable[[dict[str, Any]], str] | None = None,
    ) -> None:  # fmt: skip
        self.report = report
        self.envs, self.row, self.pilot, self.others, self.screen = envs, row, pilot, others, screen
        self.painter = Painter(envs)
        self.before: Any = None
        self.starts, self.ended = True, False
        screen.look = pilot.look

    def play(self, seed: int, episodes: int, max_steps: int) -> list[tuple[float, int]]:
        """Plays `episodes` (0: no end) and at most `max_steps` (0: no end), and prints a line for each episode.

        Returns:
            (return, length) of each episode that ended.
        """
        played: list[tuple[float, int]] = []
        total = 0.0
        obs, infos = self.envs.reset(seed=seed)
        self.starts, self.ended = True, False
        for step in itertools.count(1):
            action = self._decide(infos, f"episode {len(played) + 1} · return {total:.2f}")
            if action is None:
                break
            if 0 < max_steps < step:
                say_cut_off(max_steps)
                break
            self.before = self.envs.state[0].copy()
            obs, reward, infos = self._step(obs, infos, action)
            total += reward
            if "episode" not in infos:
                continue
            played.append((float(infos["episode"]["r"][self.row]), int(infos["episode"]["l"][self.row])))
            print(f"episode {len(played)}: return {played[-1][0]:.2f} in {played[-1][1]} steps", flush=True)
            if self.report is not None:
                print(self.report(infos["episode"]), flush=True)
            total = 0.0
            if len(played) == episodes or not self._linger(f"episode {len(played)} is over"):
                break
        return played

    def _step(self, obs: Any, infos: dict[str, Any], action: np.ndarray) -> tuple[Any, float, dict[str, Any]]:
        if self.others is None:
            actions = action[None]
        else:
            starts = np.full(self.envs.num_envs, self.starts)
            actions = np.array(self.others.act(obs, infos.get("action_mask"), starts))
            actions[self.row] = action
        obs, rewards, _, _, infos = self.envs.step(actions)
        self.starts, self.ended = self.ended, "episode" in infos
        return obs, float(rewards[self.row]), infos

    def _decide(self, infos: dict[str, Any], title: str) -> np.ndarray | None:
        """Shows the world until the person has an action for it; None when the window closes."""
        mask = infos.get("action_mask")
        while self._show(title):
            given = None if mask is None else np.asarray(mask[self.row])
            action = self.pilot.act(self.screen.hands(), self.envs.state[0], given)
            if action is not None:
                return action
        return None

    def _show(self, title: str) -> bool:
        """The pictures of a step, from the record before to the present one; whether to go on."""
        now, before = self.envs.state[0], self.before
        still = before is None or before.episode != now.episode or self.pilot.frames == 1
        for frame in range(1, self.pilot.frames + 1):
            state = now if still or frame == self.pilot.frames else self.pilot.between(before, now, frame)
            if not self.screen.show(self._picture(state), title):
                return False
        return True

    def _picture(self, state: Any) -> np.ndarray:
        painter = self.painter
        if painter.canvas is None:
            return painter.picture()
        painter.set_look(self.pilot.look if self.report else self.screen.look)  # a rated game keeps its fog
        painter.draw(state)
        self.pilot.mark(painter, state)
        return painter.canvas.pixels()

    def _linger(self, title: str, pictures: int = 20) -> bool:
        """Shows the last picture for a while."""
        last = self._picture(self.envs.state[0])
        return all(self.screen.show(last, title) for _ in range(pictures))
