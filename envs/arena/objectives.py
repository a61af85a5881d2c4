"""What deaths bring: experience, gold, credit, fallen structures, and the end of the game."""

import numpy as np

from envs.arena import data
from envs.arena.abilities import claimant
from envs.arena.economy import earn
from envs.arena.state import (
    ASSIST,
    BOSS_SLAIN,
    BOSS_TERM,
    DEATH,
    DENY,
    FELL,
    GROUP,
    KILL,
    KILLED,
    LAST_HIT,
)  # fmt: skip
from envs.arena.units import distance2, first_unit, is_creep, is_structure, seat_of, unit_of
from envs.arena.waves import note
from envs.engine import real, rule

HERO, BEAST, BOSS, WARD = data.HERO, data.BEAST, data.BOSS, data.WARD
MAX_LEVEL = data.MAX_LEVEL
CREDIT_TICKS = 50
"""A hero who hurt another no longer ago than this has a part in his death."""
DENIED_SHARE = 2
"""A denied creep gives the enemy one in so many points of its experience."""
MIGHT_TICKS = 450


@rule
def count_dead(state, params, index):
    """How many of a group of units died this tick; mostly none, which spares `settle_deaths` the question."""
    state.dead[index] = np.int32(0)
    for unit in range(index * GROUP, min((index + 1) * GROUP, params.units)):
        state.dead[index] += state.died[unit]


@rule
def settle_deaths(state, params):
    """Goes through the units that died this tick."""
    state.fallen = np.int32(0)
    for group in range(state.dead.shape[0]):
        if state.dead[group] != 0:
            for unit in range(group * GROUP, min((group + 1) * GROUP, params.units)):
                if state.died[unit] != 0:
                    settle(state, params, unit)


@rule
def settle(state, params, unit):
    """What one death brings; what was shot at the dead misses whoever comes to life in the slot."""
    for other in range(params.units):
        if state.shot_victim[other] == unit:
            state.shot_victim[other] = np.int32(-1)
    kind = params.slot_kind[unit]
    killer = claimant(state, params, unit)
    if kind == HERO:
        hero_died(state, params, unit, killer)
    else:
        unit_died(state, params, unit, kind, killer)


@rule
def unit_died(state, params, unit, kind, killer):
    """The last hit's gold, the team's gold, experience for those near, and when the dead come back."""
    faction, by = params.slot_faction[unit], params.slot_faction[killer]
    seat = seat_of(params, killer)
    denied = by == faction
    if seat >= 0 and denied:
        state.denies[seat] += np.int32(1)
        state.terms[seat, DENY] += real(1)
    elif seat >= 0:
        earn(state, seat, params.kind_gold[kind])
        if is_creep(kind) or kind == BEAST:
            state.last_hits[seat] += np.int32(1)
            state.terms[seat, LAST_HIT] += real(1)
    winner = by if faction >= 2 else 1 - faction
    if winner < 2 and params.kind_team_gold[kind] > 0:
        for rank in range(params.team_size):
            earn(state, winner * params.team_size + rank, params.kind_team_gold[kind])
    if winner < 2:
        xp = params.kind_xp[kind] // DENIED_SHARE if denied else params.kind_xp[kind]
        share_xp(state, params, unit, winner, xp)
    if is_structure(kind):
        state.fallen += np.int32(1)
        note(state, FELL, unit, killer)
    if kind == BEAST:
        state.back[unit] = state.tick + params.camp_period
    if kind == BOSS:
        boss_died(state, params, unit, by)


@rule
def boss_died(state, params, unit, team):
    """The boss's blessing for a while, and its next coming."""
    state.boss_back = state.tick + params.boss_period
    note(state, BOSS_SLAIN, unit, team)
    if team < 2:
        state.might[team] = np.int32(MIGHT_TICKS)
        for rank in range(params.team_size):
            state.terms[team * params.team_size + rank, BOSS_TERM] += real(1)


@rule
def share_xp(state, params, unit, team, xp):
    """Divides experience among a team's living heroes near a death; what does not divide is lost, as is the share of
    one at the highest level."""
    near = np.int32(0)
    reach2 = params.share_reach * params.share_reach
    for rank in range(params.team_size):
        hero = first_unit(params, team) + rank
        if state.health[hero] > 0 and distance2(state, hero, unit) <= reach2:
            near += np.int32(1)
    if near == 0:
        return
    for rank in range(params.team_size):
        hero = first_unit(params, team) + rank
        if state.health[hero] > 0 and distance2(state, hero, unit) <= reach2:
            seat = team * params.team_size + rank
            state.xp[seat] += xp // near if state.level[seat] < MAX_LEVEL else 0


@rule
def hero_died(state, params, unit, killer):
    """Counts a hero's death, pays the killer and those who helped, and sets his return."""
    seat, team = seat_of(params, unit), params.slot_faction[unit]
    enemy = 1 - team
    level = state.level[seat]
    state.deaths[seat] += np.int32(1)
    state.terms[seat, DEATH] += real(1)
    state.respawn[seat] = params.respawn_base + params.respawn_level * level
    state.team_kills[enemy] += np.int32(1)
    credited = credited_killer(state, params, seat, team, killer)
    for rank in range(params.team_size):
        other = enemy * params.team_size + rank
        if other == credited:
            state.kills[other] += np.int32(1)
            state.terms[other, KILL] += real(1)
            earn(state, other, params.kill_gold + params.kill_gold_level * level)
        elif state.tick - state.hit_tick[seat, rank] <= CREDIT_TICKS:
            state.assists[other] += np.int32(1)
            state.terms[other, ASSIST] += real(1)
            earn(state, other, params.assist_gold)
    share_xp(state, params, unit, enemy, params.kill_xp + params.kill_xp_level * level)
    note(state, KILLED, unit, unit_of(params, credited) if credited >= 0 else killer)


@rule
def credited_killer(state, params, seat, team, killer):
    """The seat that a death counts for: the last hit's hero, else the enemy hero who hurt him last; or -1."""
    by = seat_of(params, killer)
    if by >= 0 and params.slot_faction[killer] != team:
        return by
    best, latest = np.int32(-1), state.tick - np.int32(CREDIT_TICKS + 1)
    for rank in range(params.team_size):
        if state.hit_tick[seat, rank] > latest:
            best, latest = np.int32((1 - team) * params.team_size + rank), state.hit_tick[seat, rank]
    return best


@rule
def judge(state, params):
    """Ends the game when a core fell or a team has the kills; both in one tick is a draw."""
    wins = np.int32(0)
    for team in range(2):
        core = first_unit(params, 1 - team) + params.core
        enough = params.kills_to_win > 0 and state.team_kills[team] >= params.kills_to_win
        if state.health[core] <= 0 or enough:
            wins |= np.int32(1 << team)
    if wins == 0:
        return
    state.terminated = np.uint8(1)
    for seat in range(2 * params.team_size):
        team = np.int32(0) if seat < params.team_size else np.int32(1)
        if wins == 1 << team:
            state.won[seat] = np.int32(1)
        elif wins != 3:
            state.lost[seat] = np.int32(1)
