"""Fields of a Config are held to what they may be, and an error names them."""

import math
from typing import Any

import pytest

from agents import ddpg, dqn, ppo, tabular_q
from experiments import selfplay


@pytest.mark.parametrize(
    ("make", "field", "value", "message"),
    [
        (dqn.Config, "head", "c51", r"head must be one of 'mean', 'categorical', 'quantile'; got 'c51'"),
        (tabular_q.Config, "target", "Q", "target must be one of 'q', 'double'"),
        (tabular_q.Config, "exploration", "x", "exploration must be one of 'epsilon', 'visits'"),
        (ppo.Config, "network", "x", "network must be one of 'mlp', 'entities'"),
        (ppo.Config, "precision", "bf16", "precision must be one of 'float32', 'tf32', 'bfloat16'"),
        (selfplay.Config, "memory", "rnn", "memory must be one of '', 'lstm'"),
        (dqn.Config, "gamma", "linear:0.9:0.99", "gamma must be a number, it takes no schedule; got 'linear:0.9:0.99'"),
        (ppo.Config, "vf_coef", "linear:1:0", "vf_coef must be a number, it takes no schedule"),
        (ppo.Config, "learning_rate", math.inf, "learning_rate must be at least 0, got inf"),
        (ppo.Config, "log_std_init", math.nan, "log_std_init must be finite, got nan"),
        (dqn.Config, "value_min", -math.inf, "value_min must be finite, got -inf"),
        (tabular_q.Config, "rate_decay", math.nan, "rate_decay must be at least 0, got nan"),
        (tabular_q.Config, "initial_value", math.nan, "initial_value must be finite, got nan"),
        (ddpg.Config, "tau", 2, r"tau must lie in 0\.\.1, got 2"),
        (selfplay.Config, "opponents", 0, "opponents must be at least 1, got 0"),
    ],
)
def test_a_wrong_value_is_named_with_its_rule(make: Any, field: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**{field: value})
