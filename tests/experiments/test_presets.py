"""Named presets go over those for the environment, and flags over both."""

import pytest

from experiments.errors import InputError
from experiments.train import parse


def test_named_presets_and_flags_go_over_the_environment_s() -> None:
    words = ["dqn", "quintet/CartPole-v1", "--preset", "classic", "--preset=rainbow", "--batch-size", "17"]
    options, *_, config = parse(words)
    assert options.preset == ("classic", "rainbow")
    assert (config.num_envs, config.n_steps, config.batch_size, config.buffer_size) == (1, 3, 17, 50_000)
    with pytest.raises(InputError, match=r"--preset rainbov: presets/dqn.toml has no section"):
        parse(["dqn", "quintet/CartPole-v1", "--preset", "rainbov"])
