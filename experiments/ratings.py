"""How strong a player is, as a number: OpenSkill ratings (Weng and Lin, JMLR 2011; Plackett-Luce) against a fixed set.

The references play each other once and keep their ratings, with random legal play at 0; whoever is rated later plays
each of them, and only his own rating moves. A difference of about 7 is three wins in four where both are well known, of
12 some seven in eight.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from openskill.models import PlackettLuce

from experiments.matches import Player, Tally, match

LEVEL_NAMES = ("easy", "medium", "hard")


class Rating(NamedTuple):
    """A strength and its standard error."""

    mu: float
    sigma: float


def level_names(num_levels: int) -> list[str]:
    """What a world's scripted players are called, the weakest first."""
    return list(LEVEL_NAMES) if num_levels == len(LEVEL_NAMES) else [f"level {i + 1}" for i in range(num_levels)]


def references(num_levels: int) -> list[Player]:
    """Random legal play and a world's scripted levels, by name."""
    return [Player("random"), *(Player(name, level=i + 1) for i, name in enumerate(level_names(num_levels)))]


def calibrate(
    make: Callable[[int, int], Any], players: Sequence[Player], games: int, seed: int = 0
) -> dict[str, Rating]:
    """Ratings of the references from games of each pair of them, the first at 0.

    Args:
        make: as `matches.match` takes it.
        players: the references.
        games: of each pair.
        seed: of the games.
    """
    tallies = {
        (one.name, other.name): match(make, one, other, games, seed + 1009 * number)
        for number, (one, other) in enumerate(itertools.combinations(players, 2))
    }
    return from_tallies([one.name for one in players], tallies, seed)


def from_tallies(names: Sequence[str], tallies: dict[tuple[str, str], Tally], seed: int = 0) -> dict[str, Rating]:
    """Ratings after all games in an order drawn from the seed, the first name's moved to 0."""
    model = PlackettLuce()
    ratings = {name: model.rating() for name in names}
    for (one, other), ranks in _games(tallies, seed):
        ((ratings[one],), (ratings[other],)) = model.rate([[ratings[one]], [ratings[other]]], ranks=ranks)
    zero = ratings[names[0]].mu
    return {name: Rating(rating.mu - zero, rating.sigma) for name, rating in ratings.items()}


def rate(known: dict[str, Rating], tallies: dict[str, Tally], seed: int = 0) -> Rating:
    """The rating of a player from games against players whose ratings stay.

    Args:
        known: ratings by name.
        tallies: games by the opponent's name, from the side of the player who is rated.
        seed: of the order in which games count.
    """
    model = PlackettLuce()
    rating = model.rating(mu=float(np.mean([one.mu for one in known.values()])))
    for (_, name), ranks in _games({("", name): tally for name, tally in tallies.items()}, seed):
        other = model.rating(mu=known[name].mu, sigma=known[name].sigma)
        ((rating,), _) = model.rate([[rating], [other]], ranks=ranks)
    return Rating(rating.mu, rating.sigma)


def _games(tallies: dict[tuple[str, str], Tally], seed: int) -> list[tuple[tuple[str, str], list[float]]]:
    """Every game as the pair and its ranks, in a drawn order."""
    games = [
        (pair, ranks)
        for pair, tally in tallies.items()
        for ranks, count in (([1.0, 2.0], tally.won), ([2.0, 1.0], tally.lost), ([1.0, 1.0], tally.drawn))
        for _ in range(count)
    ]
    order = np.random.default_rng(seed).permutation(len(games))
    return [games[i] for i in order]
