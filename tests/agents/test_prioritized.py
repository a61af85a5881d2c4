"""Places are drawn in proportion to their priorities, by hand and by counting."""

import pytest
import torch

from agents.prioritized import BLOCK, SMALLEST, Priorities, find


def entered(capacity: int, errors: torch.Tensor, alpha: float = 1.0) -> Priorities:
    priorities = Priorities(capacity, alpha, "cpu")
    places = torch.arange(len(errors))
    priorities.enter(places)
    priorities.update(places, errors)
    return priorities


@pytest.mark.parametrize("capacity", [3, BLOCK, 3 * BLOCK + 5])
def test_places_are_drawn_in_proportion(capacity: int) -> None:
    errors = torch.linspace(-1, 2, capacity)
    priorities = entered(capacity, errors, alpha=0.5)
    number = 200_000
    places, weights = priorities.draw(number, capacity, 0.4, torch.Generator().manual_seed(0))
    expected = (errors.abs() + SMALLEST).sqrt()
    expected /= expected.sum()
    found = torch.bincount(places, minlength=capacity) / number
    assert torch.allclose(found, expected, atol=2 / number * BLOCK**0.5 + 1e-4)
    by_hand = (capacity * expected[places]) ** -0.4
    assert torch.allclose(weights, by_hand / by_hand.max(), rtol=1e-4)


def test_equal_parts_each_give_one() -> None:
    """Eight places of equal priority, eight draws: every place once, all weights 1."""
    places, weights = entered(8, torch.ones(8)).draw(8, 8, 1.0, torch.Generator().manual_seed(0))
    assert places.tolist() == list(range(8)) and torch.allclose(weights, torch.ones(8))


def test_new_transitions_are_as_likely_as_the_likeliest() -> None:
    priorities = entered(BLOCK * 2, torch.tensor([0.5, 3.0]), alpha=0.5)
    priorities.enter(torch.tensor([BLOCK + 1]))
    assert priorities.leaves[1, 1] == priorities.leaves[0, 1] == pytest.approx(3**0.5, abs=1e-5)
    priorities.update(torch.tensor([1]), torch.tensor([0.0]))
    priorities.enter(torch.tensor([0]))
    assert priorities.leaves[0, :2].tolist() == pytest.approx([3**0.5, SMALLEST**0.5], abs=1e-5), "the largest so far"


def test_sums_stay_those_of_the_leaves() -> None:
    torch.manual_seed(0)
    priorities = Priorities(1000, 0.6, "cpu")
    for _ in range(200):
        priorities.enter(torch.randint(1000, (8,)))
        priorities.update(torch.randint(1000, (32,)), 10 ** torch.empty(32).uniform_(-6, 6))
    assert torch.equal(priorities.sums, priorities.leaves.sum(1, dtype=torch.float64))


def test_what_is_empty_is_never_drawn() -> None:
    """Even where rounding brings an amount up to the whole sum."""
    errors = 10 ** torch.empty(300).uniform_(-5, 5)
    priorities = entered(10 * BLOCK, errors)
    places, _ = priorities.draw(100_000, 300, 1.0, torch.Generator().manual_seed(1))
    assert places.max() < 300
    found, left = find(*(torch.tensor(x).double() for x in ([0, 2, 2, 5, 5], [0, 2, 5, 9])))
    assert found.tolist() == [1, 3, 3, 3] and left.tolist() == pytest.approx([0, 0, 3, 3])


def test_state_goes_on_after_loading() -> None:
    one, other = entered(500, torch.rand(400)), Priorities(500, 1.0, "cpu")
    other.load_state_dict(one.state_dict())
    drawn = [each.draw(50, 400, 0.5, torch.Generator().manual_seed(3)) for each in (one, other)]
    assert torch.equal(drawn[0][0], drawn[1][0]) and torch.equal(drawn[0][1], drawn[1][1])
    assert torch.equal(one.largest, other.largest)
