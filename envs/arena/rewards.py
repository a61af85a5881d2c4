"""Rewards as separate terms a seat, then weighted, made zero-sum, decayed and mixed by team spirit.

After OpenAI Five (arXiv 1912.06680, appendix G): each term is a change over the tick, weighted by `params.reward_*`;
all but the win decay with the game's time; the enemies' mean is taken away; and the team spirit tau mixes a hero's own
reward with its team's mean, r = (1 - tau) * own + tau * mean.
"""

from envs.arena.state import (
    ASSIST,
    BOSS_TERM,
    CORE,
    DEATH,
    DENY,
    GOLD,
    HEALTH,
    KILL,
    LAST_HIT,
    MANA,
    SPENT,
    STRUCTURES,
    WIN,
    XP,
)  # fmt: skip
from envs.arena.units import first_unit, team_of, unit_of
from envs.engine import real, rule

TWO_THIRDS, ONE_THIRD = real(2 / 3), real(1 / 3)


@rule
def shaped(health):
    """(x + 1 - (1 - x)^4) / 2 of a share of health: the last points are worth the most."""
    rest = real(1) - health
    return (health + real(1) - rest * rest * rest * rest) * real(0.5)


@rule
def health_share(state, unit):
    """Health as a share of all, 0..1."""
    if state.max_health[unit] <= 0:
        return real(0)
    return real(state.health[unit]) / real(state.max_health[unit])


@rule
def siege_of(state, params, team, core):
    """What a team has done to the enemy's core, or to its other structures, each two thirds by health lost, a third at
    its fall, and other structures by their worth."""
    enemy = 1 - team
    first = first_unit(params, enemy)
    total = real(0)
    for unit in range(first + params.team_size, first + params.team_size + params.structures):
        if (unit - first == params.core) == core:
            gone = real(1) if state.health[unit] <= 0 else real(0)
            done = (real(1) - health_share(state, unit)) * TWO_THIRDS + gone * ONE_THIRD
            total += done if core else done * params.kind_worth[params.slot_kind[unit]]
    return total


@rule
def reset_rewards(state, params, index):
    """What the first tick's changes are measured from."""
    unit = unit_of(params, index)
    state.before[index, 0] = shaped(health_share(state, unit))
    state.before[index, 1] = real(1)
    state.own[index] = real(0)


@rule
def reset_siege(state):
    """Nothing is hurt yet."""
    state.fade = real(1)
    for team in range(2):
        state.siege[team, 0] = real(0)
        state.siege[team, 1] = real(0)


@rule
def remember(state, index):
    """Notes gold and experience before anything is earned this tick."""
    state.terms[index, GOLD] = -real(state.earned[index])
    state.terms[index, SPENT] = -real(state.spent[index])
    state.terms[index, XP] = -real(state.xp[index])


@rule
def judge_hero(state, params, index):
    """A hero's own terms."""
    unit = unit_of(params, index)
    state.terms[index, GOLD] += real(state.earned[index])
    state.terms[index, SPENT] += real(state.spent[index])
    state.terms[index, XP] += real(state.xp[index])
    health = shaped(health_share(state, unit))
    mana = real(0)
    if state.health[unit] > 0:
        mana = real(state.mana[index]) / real(max(state.max_mana[index], 1))
    state.terms[index, HEALTH] = health - state.before[index, 0]
    state.terms[index, MANA] = mana - state.before[index, 1]
    state.before[index, 0] = health
    state.before[index, 1] = mana
    state.terms[index, WIN] = real(state.won[index])


@rule
def is_besieged(state, params, team):
    """Whether a structure of the enemy was hurt this tick."""
    first = first_unit(params, 1 - team) + params.team_size
    for unit in range(first, first + params.structures):
        if state.hurt[unit] > 0:
            return True
    return False


@rule
def judge_siege(state, params, index):
    """A team's terms, the same for each of its heroes."""
    if not is_besieged(state, params, index):
        return
    core, others = siege_of(state, params, index, True), siege_of(state, params, index, False)
    for rank in range(params.team_size):
        seat = index * params.team_size + rank
        state.terms[seat, CORE] = core - state.siege[index, 0]
        state.terms[seat, STRUCTURES] = others - state.siege[index, 1]
    state.siege[index, 0] = core
    state.siege[index, 1] = others


@rule
def weigh(state, params, index):
    """A hero's terms, in the order of `TERMS`, times their weights; all but the win decayed."""
    terms = state.terms
    rest = (
        params.reward_ancient * terms[index, CORE]
        + params.reward_structures * terms[index, STRUCTURES]
        + params.reward_kill * terms[index, KILL]
        + params.reward_assist * terms[index, ASSIST]
        + params.reward_death * terms[index, DEATH]
        + params.reward_last_hit * terms[index, LAST_HIT]
        + params.reward_deny * terms[index, DENY]
        + params.reward_gold * terms[index, GOLD]
        + params.reward_gold_spent * terms[index, SPENT]
        + params.reward_xp * terms[index, XP]
        + params.reward_health * terms[index, HEALTH]
        + params.reward_mana * terms[index, MANA]
        + params.reward_boss * terms[index, BOSS_TERM]
    )
    state.own[index] = params.reward_win * terms[index, WIN] + rest * state.fade


@rule
def share_rewards(state, params, index):
    """Takes away the enemies' mean and mixes in the team's."""
    if index == 0:
        state.fade *= params.fade
    team, size = team_of(params, index), params.team_size
    mine, theirs = team_mean(state, team * size, size), team_mean(state, (1 - team) * size, size)
    own = (real(1) - params.team_spirit) * state.own[index] + params.team_spirit * mine
    state.reward[index] = own - params.zero_sum * theirs


@rule
def team_mean(state, first, size):
    """The mean of a team's own rewards."""
    total = real(0)
    for seat in range(first, first + size):
        total += state.own[seat]
    return total / real(size)
