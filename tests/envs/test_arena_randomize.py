"""Worlds that are not all alike: how far they differ, and that nothing else does."""

import numpy as np
import pytest

import envs
from envs.arena import arena, duel
from envs.arena.randomize import VARIANTS, VARIED


def test_numbers_stay_within_the_share_and_zeros_zero() -> None:
    plain, rows = duel().params, duel(randomize=0.2).params
    assert plain is not None and rows is not None
    assert len(plain) == 1 and len(rows) == VARIANTS
    for name in plain.dtype.names or ():
        if name not in VARIED:
            assert (rows[name] == plain[name]).all(), name
            continue
        slack = 0.5 if plain[name].dtype.kind == "i" else 1e-5
        assert (np.abs(rows[name] - plain[name]) <= 0.2 * plain[name] + slack).all(), name
        assert ((rows[name] == 0) == (plain[name] == 0)).all(), name
        assert len(np.unique(rows[name][:, plain[name][0].argmax()])) > 1, name
    assert (duel(randomize=0.2).params == rows).all()


def test_a_head_start_is_levels_with_gold_for_each() -> None:
    batch = envs.make_vec("quintet/Duel-v0", VARIANTS, head_start=4, num_threads=1)
    batch.reset(seed=1)
    level, gold = batch.state["level"], batch.state["gold"]
    assert set(level.ravel().tolist()) == {1, 2, 3, 4, 5} and (level[:, 0] == level[:, 1]).all()
    assert (gold + batch.state["spent"] == 350 + 300 * (level - 1)).all()
    assert (batch.state["rank"].sum(-1) + batch.state["points"] == level).all()


def test_worlds_of_a_batch_differ_and_play_on() -> None:
    batch = envs.make_vec("quintet/Duel-v0", 8, randomize=0.3, lineup=("guard",), num_threads=1, seats="all")
    batch.set_control([3, 3])
    batch.reset(seed=1)
    health = batch.state["max_health"][:, 0].copy()
    assert len(set(health.tolist())) > 4
    for _ in range(300):
        obs, rewards, *_ = batch.step(np.zeros((16, 3), np.int64))
        assert np.isfinite(obs.numpy()).all() and np.isfinite(rewards.numpy()).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"randomize": 1.0}, "randomize must lie in 0..0.9, got 1.0"),
        ({"head_start": -1}, "head_start must lie in 0.."),
        ({"head_start": 99}, "head_start must lie in 0.."),
    ],
)
def test_values_outside_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        arena(**options)  # pyright: ignore[reportArgumentType]
