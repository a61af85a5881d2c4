"""Where units go: orders, lanes, chases, leaps and walls."""

import numpy as np

from envs.arena import data
from envs.arena.map import ARRIVED
from envs.arena.state import ATTACK, MOVE
from envs.arena.units import distance2, flow_at, is_creep, is_free, seat_of, sign_of, team_of
from envs.engine import real, rule, sqrt

HERO, BEAST = data.HERO, data.BEAST
DIAGONAL = real(0.70710678)
UNIT_X = np.array([1, DIAGONAL, 0, -DIAGONAL, -1, -DIAGONAL, 0, DIAGONAL], real)
UNIT_Y = np.array([0, DIAGONAL, 1, DIAGONAL, 0, -DIAGONAL, -1, -DIAGONAL], real)
"""The eight directions as vectors of length 1, in the frame of whoever goes."""
SLOWED = real(0.55)
SLACK = real(0.95)
"""A chase ends well within reach."""
LEAP_STEP = real(0.5)
CELL, HALF = real(1), real(0.5)


@rule
def steer(state, params, tables, index):
    """What each unit wants to go this tick; positions stay until `move`."""
    state.vx[index] = real(0)
    state.vy[index] = real(0)
    if state.health[index] <= 0 or state.stun[index] > 0 or state.speed[index] <= real(0):
        return
    speed = state.speed[index] * SLOWED if state.slow[index] > 0 else state.speed[index]
    kind = params.slot_kind[index]
    if kind == HERO:
        steer_hero(state, params, index, speed)
    elif is_creep(kind):
        steer_creep(state, params, tables, index, speed)
    elif kind == BEAST:
        if state.target[index] >= 0:
            approach(state, index, state.target[index], speed)
        else:
            head_for(state, index, state.home_x[index], state.home_y[index], speed)


@rule
def steer_hero(state, params, unit, speed):
    """The direction or the target of the action; a spell under way holds its owner."""
    seat = seat_of(params, unit)
    verb = state.action[seat, 0]
    if state.spell[seat] >= 0:
        return
    if verb == MOVE:
        sign = sign_of(team_of(params, seat))
        direction = state.action[seat, 2]
        state.vx[unit] = sign * UNIT_X[direction] * speed
        state.vy[unit] = sign * UNIT_Y[direction] * speed
    elif verb == ATTACK and state.target[unit] >= 0:
        approach(state, unit, state.target[unit], speed)


@rule
def steer_creep(state, params, tables, unit, speed):
    """After its target, else along its lane."""
    if state.target[unit] >= 0:
        approach(state, unit, state.target[unit], speed)
        return
    faction = params.slot_faction[unit]
    direction = flow_at(params, tables, faction, params.slot_lane[unit], state.x[unit], state.y[unit])
    if direction != ARRIVED:
        sign = sign_of(faction)
        state.vx[unit] = sign * UNIT_X[direction] * speed
        state.vy[unit] = sign * UNIT_Y[direction] * speed


@rule
def approach(state, unit, target, speed):
    """Straight at a target until it is within reach."""
    reach = state.reach[unit] * SLACK
    if distance2(state, unit, target) > reach * reach:
        head_for(state, unit, state.x[target], state.y[target], speed)


@rule
def head_for(state, unit, x, y, speed):
    """Straight at a place, and not beyond it."""
    dx, dy = x - state.x[unit], y - state.y[unit]
    length = sqrt(dx * dx + dy * dy)
    if length > speed:
        state.vx[unit] = dx / length * speed
        state.vy[unit] = dy / length * speed
    else:
        state.vx[unit] = dx
        state.vy[unit] = dy


@rule
def move(state, params, tables, index):
    """Goes, slides along walls, leaps."""
    if state.vx[index] != real(0) or state.vy[index] != real(0):
        slide(state, params, tables, index)
    if params.slot_kind[index] == HERO:
        seat = seat_of(params, index)
        if state.dash[seat] > real(0):
            dash(state, params, tables, seat, index)


@rule
def slide(state, params, tables, unit):
    """The wanted step; where a wall is in the way, its part along the wall."""
    faction = params.slot_faction[unit]
    x, y = state.x[unit] + state.vx[unit], state.y[unit] + state.vy[unit]
    if is_free(params, tables, faction, x, y) and not jumps_wall(state, params, tables, unit):
        state.x[unit] = x
        state.y[unit] = y
    elif abs(state.vx[unit]) <= CELL and is_free(params, tables, faction, x, state.y[unit]):
        state.x[unit] = x
    elif abs(state.vy[unit]) <= CELL and is_free(params, tables, faction, state.x[unit], y):
        state.y[unit] = y
    if params.slot_kind[unit] == HERO:
        turn_to_go(state, params, unit)


@rule
def jumps_wall(state, params, tables, unit):
    """Whether a step longer than a cell leads over a wall."""
    vx, vy = state.vx[unit], state.vy[unit]
    if abs(vx) <= CELL and abs(vy) <= CELL:
        return False
    return not is_free(params, tables, params.slot_faction[unit], state.x[unit] + vx * HALF, state.y[unit] + vy * HALF)


@rule
def turn_to_go(state, params, unit):
    """A hero faces the way it goes."""
    seat = seat_of(params, unit)
    length = sqrt(state.vx[unit] * state.vx[unit] + state.vy[unit] * state.vy[unit])
    state.facing_x[seat] = state.vx[unit] / length
    state.facing_y[seat] = state.vy[unit] / length


@rule
def dash(state, params, tables, seat, unit):
    """Leaps the way it faces, in short steps, until a wall is in the way."""
    team = team_of(params, seat)
    while state.dash[seat] > real(0):
        step = min(state.dash[seat], LEAP_STEP)
        x, y = state.x[unit] + state.facing_x[seat] * step, state.y[unit] + state.facing_y[seat] * step
        if not is_free(params, tables, team, x, y):
            state.dash[seat] = real(0)
            return
        state.x[unit] = x
        state.y[unit] = y
        state.dash[seat] -= step
