"""Who is met: the rules' formulas by hand, and what a bounded pool drops."""

import json
import math

import pytest
import torch

from agents.league import FORGET, Pool


def pool_of(rule: str, *names: str, capacity: int = 8) -> Pool:
    pool = Pool(rule, capacity, eta=0.1)
    for name in names:
        pool.add(name)
    return pool


def test_quality_falls_by_eta_over_n_p_when_the_learner_wins() -> None:
    pool = pool_of("quality", "a", "b")
    pool.record("a", 1)
    assert pool.members[0].quality == pytest.approx(-0.1 / (2 * 0.5))
    chance = math.exp(-0.1) / (1 + math.exp(-0.1))
    assert pool.chances().tolist() == pytest.approx([chance, 1 - chance])
    pool.record("a", 1)
    assert pool.members[0].quality == pytest.approx(-0.1 - 0.1 / (2 * chance))
    pool.record("b", 0.5)
    pool.record("b", 0)
    assert pool.members[1].quality == 0


def test_a_new_version_starts_with_the_highest_quality() -> None:
    pool = pool_of("quality", "a")
    for _ in range(5):
        pool.record("a", 1)
    pool.add("b")
    pool.record("a", 1)
    pool.add("c")
    a, b, c = (one.quality for one in pool.members)
    assert a < b == c == pytest.approx(-0.5)


def test_pfsp_prefers_those_who_beat_the_learner() -> None:
    pool = pool_of("pfsp", "weak", "strong")
    pool.record("weak", 1)
    pool.record("strong", 0)
    weak, strong = 1 - 2 / 3, 1 - 1 / 3
    assert pool.chances().tolist() == pytest.approx(
        [weak**2 / (weak**2 + strong**2), strong**2 / (weak**2 + strong**2)]
    )


def test_old_games_are_forgotten() -> None:
    pool = pool_of("pfsp", "a")
    pool.record("a", 1)
    pool.record("a", 0)
    assert pool.members[0].points == pytest.approx(FORGET)
    assert pool.members[0].games == pytest.approx(FORGET + 1)


@pytest.mark.parametrize("rule", ["quality", "pfsp"])
def test_a_full_pool_drops_the_least_likely_and_never_the_newest(rule: str) -> None:
    pool = pool_of(rule, "a", "b", "c", capacity=3)
    pool.record("b", 1)
    assert pool.add("d") == "b"
    assert [one.name for one in pool.members] == ["a", "c", "d"]
    pool.record("b", 1)
    assert pool_of("uniform", "x", capacity=1).add("y") == "x"


def test_draws_follow_the_chances() -> None:
    pool = pool_of("quality", "a", "b")
    pool.members[0].quality = math.log(3)
    drawn = pool.draw(20_000, torch.Generator().manual_seed(0))
    assert drawn.count("a") / len(drawn) == pytest.approx(0.75, abs=0.01)


def test_a_pool_survives_json() -> None:
    pool, other = pool_of("quality", "a", "b"), Pool("quality")
    pool.record("a", 1)
    other.load_state_dict(json.loads(json.dumps(pool.state_dict())))
    assert other.members == pool.members


def test_bad_pools_are_refused() -> None:
    with pytest.raises(ValueError, match="one of quality, pfsp, uniform, got 'best'"):
        Pool("best")
    with pytest.raises(ValueError, match="at least 1"):
        Pool(capacity=0)
    with pytest.raises(ValueError, match="empty pool"):
        Pool().draw(1, torch.Generator())


def test_who_stays_is_met_but_never_leaves() -> None:
    pool = pool_of("quality", capacity=2)
    pool.add("hard", stays=True)
    assert pool.add("a") is None and pool.add("b") is None
    for _ in range(2000):
        pool.record("hard", 1)
    assert pool.chances().argmin() == 0 and pool.add("c") == "a"
    assert [one.name for one in pool.members] == ["hard", "b", "c"]
