"""Every preset is a Config; named ones go over those for the environment."""

import tomllib

import pytest

from experiments.algorithms import PRESETS, load_algorithm
from experiments.errors import InputError
from experiments.train import parse


@pytest.mark.parametrize("algorithm", ["q", "dqn", "ddpg", "ppo"])
def test_every_section_makes_a_config(algorithm: str) -> None:
    for name, values in tomllib.loads((PRESETS / f"{algorithm}.toml").read_text()).items():
        settings = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        assert load_algorithm(algorithm).Config(**settings), name


def test_named_presets_and_flags_go_over_the_environment_s() -> None:
    words = ["dqn", "quintet/CartPole-v1", "--preset", "classic", "--preset=rainbow", "--batch-size", "17"]
    options, *_, config = parse(words)
    assert options.preset == ("classic", "rainbow")
    assert (config.num_envs, config.n_steps, config.batch_size, config.buffer_size) == (1, 3, 17, 50_000)
    with pytest.raises(InputError, match=r"--preset rainbov: presets/dqn.toml has no section"):
        parse(["dqn", "quintet/CartPole-v1", "--preset", "rainbov"])
