"""`quintet play ID --human`: what a person's hands do becomes actions; worlds of few actions are played by arrow keys.

A pilot turns hands, record and mask into an action and knows nothing of windows; `pilot_for` finds the one that a world
can be played with.
"""

import itertools
from typing import Any, NamedTuple, Protocol

import numpy as np
from gymnasium import spaces

from experiments.errors import InputError
from experiments.pictures import Painter


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

    def act(self, hands: Hands, state: Any, mask: np.ndarray | None) -> np.ndarray | None:
        """One seat's action, or None to wait for the person.

        Args:
            hands: since the last step.
            state: the world's record.
            mask: bool `[M]`, or None where the world has no masks.
        """
        ...

    def mark(self, painter: Painter) -> None:
        """Adds to the picture what only the player sees."""


class Others(Protocol):
    """Plays the rows that the person doesn't."""

    def __call__(self, obs: Any, mask: Any) -> np.ndarray:
        """Actions of all rows."""
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

    fps, look = 0, 0

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

    def mark(self, painter: Painter) -> None:
        """Nothing."""


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


def play(
    envs: Any, row: int, pilot: Pilot, others: Others | None, screen: Any, seed: int, episodes: int, max_steps: int
) -> list[tuple[float, int]]:
    """Plays episodes of a batch of one world, a person at row `row`, and prints a line for each.

    Args:
        envs: one world that resets in the step after an episode's end.
        row: the person's.
        pilot: turns hands into actions.
        others: plays the other rows; None if there are none.
        screen: `show(picture, title) -> go on`, `hands() -> Hands` and `look`, as `play.PlayWindow` has them.
        seed: of the first episode.
        episodes: to play; 0 for no end.
        max_steps: at most; 0 for no end.

    Returns:
        (return, length) of each episode that ended.
    """
    painter, played, total = Painter(envs), [], 0.0
    screen.look = pilot.look
    obs, infos = envs.reset(seed=seed)
    for step in itertools.count(1):
        action = _decide(envs, pilot, painter, screen, infos, row, f"episode {len(played) + 1} · return {total:.2f}")
        if action is None or step == max_steps + 1:
            return played
        actions = others(obs, infos.get("action_mask")) if others else np.asarray(action)[None].copy()
        actions[row] = action
        obs, rewards, _, _, infos = envs.step(actions)
        total += float(rewards[row])
        if "episode" in infos:
            played.append((float(infos["episode"]["r"][row]), int(infos["episode"]["l"][row])))
            print(f"episode {len(played)}: return {played[-1][0]:.2f} in {played[-1][1]} steps", flush=True)
            total = 0.0
            if len(played) == episodes or not _linger(painter, screen, f"episode {len(played)} is over"):
                return played
    return played


def _decide(
    envs: Any, pilot: Pilot, painter: Painter, screen: Any, infos: dict[str, Any], row: int, title: str
) -> np.ndarray | None:
    """Shows the world until the person has an action for it; None when the window closes."""
    mask = infos.get("action_mask")
    while screen.show(_picture(painter, pilot, screen.look), title):
        hands = screen.hands()
        action = pilot.act(hands, envs.state[0], None if mask is None else np.asarray(mask[row]))
        if action is not None:
            return action
    return None


def _picture(painter: Painter, pilot: Pilot, look: int) -> np.ndarray:
    if painter.canvas is None:
        return painter.picture()
    painter.set_look(look)
    painter.draw()
    pilot.mark(painter)
    return painter.canvas.pixels()


def _linger(painter: Painter, screen: Any, title: str, pictures: int = 20) -> bool:
    """Shows the last picture for a while."""
    last = painter.picture()
    return all(screen.show(last, title) for _ in range(pictures))


def by_policy(policy: Any, rows: int, seed: int) -> Others:
    """A trained policy's best actions for every row."""
    import torch

    memory: list[Any] = [policy.initial_memory(rows)]
    generator = torch.Generator().manual_seed(seed)
    starts = torch.zeros(rows, dtype=torch.bool)

    def act(obs: Any, mask: Any) -> np.ndarray:
        with torch.no_grad():
            actions, memory[0] = policy.act(obs, mask, memory[0], starts, deterministic=True, generator=generator)
        return actions.cpu().numpy().copy()

    return act
