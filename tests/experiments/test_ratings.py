"""Ratings order players as their results do, and references keep theirs."""

from experiments.matches import Tally
from experiments.ratings import Rating, from_tallies, rate, references

KNOWN = {"random": Rating(0, 1), "easy": Rating(10, 1), "hard": Rating(20, 1)}


def test_references_are_named_by_level() -> None:
    assert [(one.name, one.level) for one in references(3)] == [("random", 0), ("easy", 1), ("medium", 2), ("hard", 3)]
    assert [one.name for one in references(1)] == ["random", "level 1"]


def test_whoever_wins_more_is_rated_higher_and_the_first_is_zero() -> None:
    tallies = {("a", "b"): Tally(2, 28, 0), ("a", "c"): Tally(0, 30, 0), ("b", "c"): Tally(8, 20, 2)}
    ratings = from_tallies(("a", "b", "c"), tallies)
    assert ratings["a"].mu == 0 < ratings["b"].mu < ratings["c"].mu
    assert all(0 < one.sigma < 25 / 3 for one in ratings.values())


def test_a_player_who_draws_with_everybody_lies_between_them() -> None:
    even = rate(KNOWN, {name: Tally(0, 0, 40) for name in KNOWN})
    better = rate(KNOWN, {name: Tally(40, 0, 0) for name in KNOWN})
    assert 5 < even.mu < 15 < 20 < better.mu
    assert rate(KNOWN, {"hard": Tally(30, 10, 0)}).mu > rate(KNOWN, {"easy": Tally(30, 10, 0)}).mu


def test_a_rating_is_a_function_of_games_and_seed() -> None:
    tallies = {"easy": Tally(20, 10, 2), "hard": Tally(3, 20, 1)}
    assert rate(KNOWN, tallies, seed=3) == rate(KNOWN, tallies, seed=3)
