"""Every env plays its share of whole episodes, and the interval is Student's."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from agents.evaluate import evaluate, half_width, summarise


class Counter(gymnasium.Env):
    """Episodes of `length` steps; each step pays the env's own wage; action 1 ends the episode."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, length: int, wage: float) -> None:
        self.length, self.wage = length, wage

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.steps += 1
        return np.ones(1, np.float32), self.wage, bool(action), self.steps == self.length, {}


class Fixed:
    """Always the action 0; counts what it remembers."""

    def initial_memory(self, num_envs: int) -> torch.Tensor:
        return torch.zeros(num_envs, 1)

    def act(self, obs: torch.Tensor, mask: Any, memory: torch.Tensor, starts: torch.Tensor, **_: Any) -> Any:
        return torch.zeros(len(obs), dtype=torch.int64), memory + 1


class Coin(Fixed):
    """The action 1 half the time."""

    def act(self, obs: Any, mask: Any, memory: Any, starts: Any, *, deterministic: bool, generator: Any) -> Any:
        ends = torch.zeros(len(obs)) if deterministic else torch.rand(len(obs), generator=generator)
        return (ends > 0.5).long(), memory


def batch(*settings: tuple[int, float], mode: AutoresetMode = AutoresetMode.SAME_STEP) -> SyncVectorEnv:
    return SyncVectorEnv([lambda s=s: Counter(*s) for s in settings], autoreset_mode=mode)


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_short_episodes_count_no_more_than_long_ones(mode: AutoresetMode) -> None:
    result = evaluate(Fixed(), batch((2, 1.0), (50, 1.0), mode=mode), 6)
    assert (result.episodes, result.mean, result.mean_length) == (6, 26.0, 26.0)
    assert (result.min, result.max, result.cut) == (2.0, 50.0, 0)


def test_an_uneven_number_is_shared_out_beforehand() -> None:
    result = evaluate(Fixed(), batch((2, 1.0), (3, 10.0)), 3)
    assert result.episodes == 3
    assert result.mean == pytest.approx((2 + 2 + 30) / 3)


def test_more_envs_than_episodes() -> None:
    assert evaluate(Fixed(), batch((2, 1.0), (3, 1.0), (4, 1.0)), 1).mean == 2.0


def test_episodes_without_end_are_cut() -> None:
    result = evaluate(Fixed(), batch((10**9, 1.0), (3, 1.0)), 4, step_limit=20)
    assert (result.cut, result.episodes, result.max) == (1, 3, 20.0)
    assert "1 cut" in str(result)


def test_stochastic_draws_come_from_the_seed() -> None:
    envs = batch((30, 1.0), (30, 1.0))
    first, again, other = (evaluate(Coin(), envs, 20, deterministic=False, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert evaluate(Coin(), envs, 20).mean == 30.0


def test_the_interval_is_students() -> None:
    assert half_width([1.0]) is None
    alone = summarise([1.0], [3])
    assert (alone.low, alone.high, str(alone)) == (None, None, "1.00 (1.00 to 1.00, 3 steps an episode)")
    assert half_width([1.0, 3.0]) == pytest.approx(12.706, rel=1e-3)
    for count, t in ((7, 2.447), (11, 2.228), (31, 2.042), (101, 1.984)):
        values = list(np.linspace(-1, 1, count))
        assert half_width(values) == pytest.approx(t * np.std(values, ddof=1) / count**0.5, rel=7e-3)
    result = summarise([1.0, 3.0, 5.0], [1, 1, 1])
    assert result.low is not None and result.high is not None
    assert result.mean - result.low == pytest.approx(result.high - result.mean)


def test_no_episodes_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        evaluate(Fixed(), batch((2, 1.0)), 0)


class Paid(Counter):
    """Says its wage where an episode ends."""

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        *result, infos = super().step(action)
        return *result, infos | ({"episode": {"paid": self.wage}} if result[3] else {})  # pyright: ignore


def test_statistics_are_means_over_the_episodes_that_count() -> None:
    envs = SyncVectorEnv([lambda: Paid(2, 1.0), lambda: Paid(9, 4.0)], autoreset_mode=AutoresetMode.NEXT_STEP)
    result = evaluate(Fixed(), envs, 6)
    assert result.statistics == {"paid": 2.5}
    assert str(result).endswith("; paid 2.5")


def test_the_seats_of_a_world_have_one_episode_together() -> None:
    wages = [1, 3, 10, 30]
    envs: Any = SyncVectorEnv([lambda wage=wage: Counter(2, wage) for wage in wages], autoreset_mode="SameStep")  # type: ignore
    envs.num_seats = 2
    result = evaluate(Fixed(), envs, 3)
    assert result.episodes == 3 and result.mean == pytest.approx((4 + 4 + 40) / 3) and result.mean_length == 2
