"""Schedules have the values that their texts say, and bad texts are named."""

import math
from dataclasses import dataclass

import pytest

from agents import checks, schedules
from agents.schedules import Schedule


@dataclass(frozen=True)
class Config:
    rate: Schedule = "linear:1:0"
    share: Schedule = 0.5
    name: str = "linear:3:4"

    def __post_init__(self) -> None:
        checks.numbers(self, "rate share", 0, 1)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("linear:2:1", (2, 1.75, 1.5, 1)),
        ("linear:2:1:0.5", (2, 1.5, 1, 1)),
        ("cosine:2:0", (2, 1 + math.sqrt(0.5), 1, 0)),
        ("piecewise:0:1,0.5:3,1:0", (1, 2, 3, 0)),
        ("piecewise:0.25:7", (7, 7, 7, 7)),
        (0.3, (0.3, 0.3, 0.3, 0.3)),
    ],
)
def test_values_over_a_run(text: float | str, values: tuple[float, ...]) -> None:
    assert [schedules.value(text, progress) for progress in (0, 0.25, 0.5, 1)] == pytest.approx(values)
    assert schedules.value(text, 1.5) == pytest.approx(values[-1])


def test_a_config_at_a_time_has_numbers_in_its_schedules_alone() -> None:
    config = Config()
    now = schedules.at(config, 0.25)
    assert (now.rate, now.share, now.name) == (0.75, 0.5, "linear:3:4") and type(now) is Config
    assert config.rate == "linear:1:0"
    plain = Config(rate=0.1)
    assert schedules.at(plain, 0.25) is plain


@pytest.mark.parametrize(
    "text", ["", "fast", "linear", "linear:1", "linear:1:2:3:4", "linear:1:0:2", "piecewise:0:1,0:2", "cosine:1:nan"]
)
def test_bad_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"rate: {text!r} is neither a number nor a schedule; write linear:FROM:TO"):
        Config(rate=text)


def test_every_point_must_lie_within_the_range() -> None:
    with pytest.raises(ValueError, match=r"rate must lie in 0\.\.1, got linear:1:2"):
        Config(rate="linear:1:2")
    with pytest.raises(ValueError, match=r"share must lie in 0\.\.1, got -1"):
        Config(share=-1)
