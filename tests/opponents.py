"""Learning beside frozen copies of the learner, for the tests of recorded iterations."""

import copy
from typing import Any

import torch

from agents import ppo


def iterate_beside_opponents(state: ppo.TrainState, config: ppo.Config, free: int, each: int) -> tuple[list[Any], int]:
    """Three times `each` iterations in which every other row from `free` on is a copy's, then of two copies by turns.

    Returns:
        the metrics of each, and how many rows of copies had games that ended.
    """
    rollout, now, metrics, games = ppo.new_rollout(state, config), ppo.at(config, 0.0), [], 0
    others = torch.arange(state.collector.num_envs - free)
    for iteration in range(3 * each):
        if iteration % each == 0:
            played = [copy.deepcopy(state.policy).eval() for _ in range(1 + iteration // (2 * each))]
            owner = torch.zeros(state.collector.num_envs, dtype=torch.int64)
            owner[free:] = others % 2 * (others // 2 % len(played) + 1)
            state.collector.set_opponents(played, owner)
        metrics.append(ppo.iterate(state, rollout, now))
        games += sum(int((players > 0)[ended].sum()) for players, ended, _ in state.collector.episodes.pop_games())
    return metrics, games
