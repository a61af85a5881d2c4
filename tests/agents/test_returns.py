"""Advantages against numbers worked out by hand."""

import pytest
import torch

from agents.returns import gae, next_values

NO = torch.zeros(3, 1, dtype=torch.bool)


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None]


def at(step: int) -> torch.Tensor:
    flags = NO.clone()
    flags[step] = True
    return flags


@pytest.mark.parametrize(
    ("terminated", "truncated", "expected"),
    [
        # gamma 0.5, lambda 0.5; values 1, 2, 3 and 4 of what follows; the end comes after step 1, with final value 8.
        # no end: deltas 10+.5*2-1=10, 20+.5*3-2=19.5, 30+.5*4-3=29; each adds a quarter of the next.
        (NO, NO, (10 + 26.75 / 4, 19.5 + 29 / 4, 29.0)),
        # terminated: delta 1 is 20-2=18, and nothing comes from step 2.
        (at(1), NO, (10 + 18 / 4, 18.0, 29.0)),
        # truncated: delta 1 is 20+.5*8-2=22, and nothing comes from step 2.
        (NO, at(1), (10 + 22 / 4, 22.0, 29.0)),
        # both: termination wins.
        (at(1), at(1), (10 + 18 / 4, 18.0, 29.0)),
    ],
)
def test_by_hand(terminated: torch.Tensor, truncated: torch.Tensor, expected: tuple[float, ...]) -> None:
    values, rewards = column(1.0, 2.0, 3.0, 4.0), column(10.0, 20.0, 30.0)
    ended = bool((terminated | truncated).any())
    index, final = (torch.tensor([1]), torch.tensor([8.0])) if ended else (torch.zeros(0).long(), torch.zeros(0))
    following = next_values(values, index, final)
    advantages = gae(rewards, values[:-1], following, terminated, truncated, 0.5, 0.5)
    assert advantages.flatten().tolist() == pytest.approx(expected)


def test_a_final_value_goes_to_its_own_row() -> None:
    values = torch.arange(12.0).view(4, 3)
    following = next_values(values, torch.tensor([1, 5]), torch.tensor([-1.0, -2.0]))
    assert following.tolist() == [[3, -1, 5], [6, 7, -2], [9, 10, 11]]
    assert values.tolist() == torch.arange(12.0).view(4, 3).tolist()
