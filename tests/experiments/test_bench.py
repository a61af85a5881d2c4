"""What the benchmarks measure with."""

import numpy as np

import envs
from experiments.bench.arena import Options, Play
from experiments.matches import random_legal


def test_random_legal_actions_are_legal_and_reach_every_verb() -> None:
    duels = envs.make_vec("quintet/Duel-v0", 32, num_threads=1)
    rng = np.random.default_rng(0)
    _, infos = duels.reset(seed=1)
    verbs = set()
    for _ in range(400):
        actions = random_legal(infos["action_mask"].numpy(), duels.action_layout, rng)
        verbs |= set(actions[:, 0].tolist())
        infos = duels.step(actions)[4]
    assert duels.state["illegal"].sum() == 0
    assert verbs == set(range(9))


def test_the_arenas_that_are_measured_are_at_staggered_times() -> None:
    play = Play("quintet/Duel-v0", 6, hard=True)
    assert play.play(10) > 0
    assert len(set(play.envs.state["tick"].tolist())) == 6
    assert Options().worlds == 64
