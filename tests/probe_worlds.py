"""Small worlds that exercise every part of the engine; the two-seat one before any arena needs it."""

import numpy as np
from gymnasium import spaces

from envs.engine.random import randint, uniform
from envs.engine.rules import ActionLayout, World, real, rule

NUM_DOTS = 6
STATE = np.dtype(
    [
        ("place", np.int32, (2,)),
        ("energy", real, (2,)),
        ("dot", np.int32, (NUM_DOTS,)),
        ("eater", np.int32, (NUM_DOTS,)),
        ("pushed", np.int32, (2,)),
        ("eaten", np.int32, (2,)),
        ("effort", real, (2,)),
        ("terms", real, (2, 2)),
    ]
)
PARAMS = np.dtype([("offset", np.int32), ("length", np.int32), ("win_reward", real)])
WAIT, MOVE, PUSH = 0, 1, 2
DOTS, WIN = 0, 1
PLACE, DOT, PUSHES = 10, 20, 30


@rule
def reset(state, params):
    state.place[0] = np.int32(0)
    state.place[1] = params.length - np.int32(1)
    for seat in range(2):
        state.energy[seat] = real(1)
        state.pushed[seat] = np.int32(0)
        state.eaten[seat] = np.int32(0)
        state.effort[seat] = real(0)


@rule
def scatter(state, params, index):
    state.dot[index] = randint(state, params.length, DOT + index)
    state.eater[index] = np.int32(-1)


@rule
def script(state, params, index):
    """Level 1 plays at random; level 2 walks to the other and pushes."""
    level = state.control[index]
    if level == 1:
        state.action[index, 0] = randint(state, 3, PLACE + index)
        state.action[index, 1] = randint(state, 2, PUSHES + index)
    if level == 2:
        other = state.place[1 - index]
        state.action[index, 0] = np.int32(PUSH) if abs(other - state.place[index]) <= 1 else np.int32(MOVE)
        state.action[index, 1] = np.int32(1) if other > state.place[index] else np.int32(0)


@rule
def decide(state, params, index):
    """Who pushes whom, written to the pusher's own slot."""
    touching = abs(state.place[0] - state.place[1]) <= 1
    can = state.energy[index] >= real(0.5)
    state.pushed[index] = np.int32(1) if state.action[index, 0] == PUSH and touching and can else np.int32(0)


@rule
def move(state, params, tables, index):
    if state.pushed[1 - index] != 0:
        state.place[index] += np.int32(1) if index == 1 else np.int32(-1)
    elif state.action[index, 0] == MOVE:
        target = state.place[index] + (np.int32(1) if state.action[index, 1] == 1 else np.int32(-1))
        if 0 <= target < params.length and tables.wall[params.offset + target] == 0:
            state.place[index] = target
    gain = uniform(state, index) * real(0.25)
    state.effort[index] += real(1) - state.energy[index]
    state.energy[index] = min(state.energy[index] + gain, real(1)) if state.pushed[index] == 0 else real(0)


@rule
def eat(state, params, index):
    state.eater[index] = np.int32(-1)
    for seat in range(2):
        if state.place[seat] == state.dot[index]:
            state.eater[index] = np.int32(seat)
    if state.eater[index] >= 0:
        state.dot[index] = randint(state, params.length, DOT + index)


@rule
def score(state, params):
    for index in range(NUM_DOTS):
        if state.eater[index] >= 0:
            state.eaten[state.eater[index]] += np.int32(1)
            state.terms[state.eater[index], DOTS] += real(1)
            state.terms[1 - state.eater[index], DOTS] -= real(1)
    for seat in range(2):
        if state.place[seat] < 0 or state.place[seat] >= params.length:
            state.terminated = np.uint8(1)
            state.terms[1 - seat, WIN] += params.win_reward
            state.terms[seat, WIN] -= params.win_reward
    for seat in range(2):
        state.reward[seat] = state.terms[seat, DOTS] + state.terms[seat, WIN]


@rule
def observe(state, params, seat, obs):
    """Own place, the other's, own energy, then the dots relative to the own place."""
    scale = real(1) / real(params.length)
    obs[0] = real(state.place[seat]) * scale
    obs[1] = real(state.place[1 - seat]) * scale
    obs[2] = state.energy[seat]


@rule
def observe_dots(state, params, seat, index, obs):
    obs[3 + index] = real(state.dot[index] - state.place[seat]) / real(params.length)


@rule
def mask(state, params, seat, mask):
    """Verbs, then directions to move in; then come directions to push in."""
    touching = abs(state.place[0] - state.place[1]) <= 1
    mask[WAIT] = True
    mask[MOVE] = True
    mask[PUSH] = touching and state.energy[seat] >= real(0.5)
    mask[3] = state.place[seat] > 0 or params.length == 1
    mask[4] = state.place[seat] < params.length - 1


@rule
def mask_push(index, mask):
    mask[5 + index] = True


def two_seats(win_reward: float = 5.0, lengths: tuple[int, ...] = (7,), max_episode_steps: int = 40) -> World:
    """Two players on a strip push each other off it and eat dots; later worlds of a batch have other strips."""
    params = np.zeros(len(lengths), PARAMS)
    params["length"], params["win_reward"] = lengths, win_reward
    params["offset"] = np.cumsum([0, *lengths[:-1]])
    wall = np.zeros(sum(lengths), np.int32)
    return World(
        name="TwoSeats",
        state=STATE,
        params=params,
        tables={"wall": wall},
        reset=[reset, (scatter, NUM_DOTS)],
        step=[(script, 2), (decide, 2), (move, 2), (eat, NUM_DOTS), score],
        observe=[observe, (observe_dots, NUM_DOTS)],
        mask=[mask, (mask_push, 2)],
        action_layout=ActionLayout((3, 2), ((-1, 0, 1),)),
        observation_space=spaces.Box(-1, 2, (3 + NUM_DOTS,), np.float32),
        action_space=spaces.MultiDiscrete([3, 2]),
        num_seats=2,
        scripted_levels=2,
        statistics=("eaten", "effort"),
        reward_terms=("dots", "win"),
        max_episode_steps=max_episode_steps,
    )


def two_seats_on_a_short_strip() -> World:
    """`two_seats` with games of a few ticks, some lost by a fall, others cut off."""
    return two_seats(lengths=(3,), max_episode_steps=7)


@rule
def touchy(state):
    """What no reset may do."""
    state.terms[0, DOTS] = real(0)


@rule
def racy(state, index):
    """A race: each dot reads its neighbour's slot, which the neighbour writes."""
    state.dot[index] = state.dot[(index + 1) % NUM_DOTS]


@rule
def crowd(state, index, part):
    """A race of parts: both indices write what their part names."""
    state.eater[part] = np.int32(index)


def racing() -> World:
    """`two_seats` with races in it and a reset that touches the terms, for the race finder to find."""
    from dataclasses import replace

    world = two_seats()
    return replace(
        world,
        name="Racing",
        reset=[*world.reset, touchy],  # pyright: ignore
        step=[*world.step, (racy, NUM_DOTS), (crowd, 2, 3)],  # pyright: ignore
    )


PENNIES = np.dtype([("won", np.int32, (2,)), ("lost", np.int32, (2,))])


@rule
def begin_pennies(state):
    for seat in range(2):
        state.won[seat] = np.int32(0)
        state.lost[seat] = np.int32(0)


@rule
def match_pennies(state):
    """The first seat wins where both choose alike; 2 loses whatever the other chose."""
    alike = state.action[0] == state.action[1]
    winner = 0 if state.action[1] == 2 or (alike and state.action[0] != 2) else 1
    state.won[winner] = np.int32(1)
    state.lost[1 - winner] = np.int32(1)
    state.terminated = np.uint8(1)


@rule
def observe_pennies(seat, obs):
    obs[0] = real(seat)


@rule
def mask_pennies(mask):
    mask[0] = True
    mask[1] = True


def pennies() -> World:
    """Two teams of one seat with one choice each, of which 2 is illegal; nobody is scripted."""
    return World(
        name="Pennies",
        state=PENNIES,
        reset=begin_pennies,
        step=match_pennies,
        observe=observe_pennies,
        mask=mask_pennies,
        observation_space=spaces.Box(0, 1, (1,), np.float32),
        action_space=spaces.Discrete(3),
        num_seats=2,
        statistics=("won", "lost"),
    )
