"""Running statistics equal those of all data at once."""

import numpy as np
import torch

from agents.normalize import RewardScale, RunningNorm


def test_batches_merge_to_the_statistics_of_the_whole() -> None:
    data = torch.from_numpy(np.random.default_rng(0).normal([1e6, -3.0], [0.01, 5.0], (1000, 2)))
    norm = RunningNorm((2,))
    for batch in data.split([1, 10, 300, 689]):
        norm.update(batch)
    assert int(norm.count) == 1000
    np.testing.assert_allclose(norm.mean.numpy(), data.mean(0), rtol=1e-12)
    np.testing.assert_allclose(norm.var.numpy(), data.var(0, correction=0), rtol=1e-7)


def test_values_are_standardised_and_clipped_and_invalid_rows_left_out() -> None:
    norm = RunningNorm((1,), clip=2.0)
    values = torch.tensor([[1.0], [3.0], [1e9]])
    assert torch.equal(norm(torch.tensor([[1.5]])), torch.tensor([[1.5]])), "as they are before the first update"
    norm.update(values, torch.tensor([True, True, False]))
    norm.update(values, torch.tensor([False, False, False]))
    assert torch.allclose(norm(values), torch.tensor([[-1.0], [1.0], [2.0]]))


def test_statistics_are_part_of_the_state() -> None:
    norm, other = RunningNorm((2,)), RunningNorm((2,))
    norm.update(torch.randn(50, 2, generator=torch.Generator().manual_seed(0)))
    other.load_state_dict(norm.state_dict())
    values = torch.ones(3, 2)
    assert torch.equal(norm(values), other(values))


def test_rewards_are_divided_by_the_deviation_of_the_discounted_return() -> None:
    rewards = torch.tensor([[1.0], [2.0], [4.0], [8.0]])
    ended = torch.tensor([[False], [True], [False], [False]])
    valid = torch.tensor([[True], [True], [True], [False]])
    scale = RewardScale(1, 0.5)
    scaled = scale(rewards, ended, valid)
    deviation = np.std([1.0, 2.5, 4.0])  # 1, 2 + 1/2, anew: 4; the last step is nobody's
    np.testing.assert_allclose(scaled.numpy(), rewards.numpy() / deviation, rtol=1e-5)
    assert scale.returns.tolist() == [2.0]
