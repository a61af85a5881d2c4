"""Named presets go over those for the environment, and flags over both; Atari as its presets take it."""

import tomllib

import pytest

from experiments.algorithms import PRESETS, load_algorithm, preset
from experiments.errors import InputError
from experiments.train import parse
from experiments.worlds import choose, make_batch, make_one


def test_named_presets_and_flags_go_over_the_environment_s() -> None:
    words = ["dqn", "quintet/CartPole-v1", "--preset", "classic", "--preset=rainbow", "--batch-size", "17"]
    options, *_, config = parse(words)
    assert options.preset == ("classic", "rainbow")
    assert (config.num_envs, config.n_steps, config.batch_size, config.buffer_size) == (1, 3, 17, 15_000)
    classic = parse(["dqn", "quintet/CartPole-v1", "--preset", "classic"])[-1]
    assert (classic.num_envs, classic.train_frequency, classic.n_steps, classic.tau) == (1, 1, 1, 1)
    with pytest.raises(InputError, match=r"--preset rainbov: presets/dqn.toml has no section"):
        parse(["dqn", "quintet/CartPole-v1", "--preset", "rainbov"])


@pytest.mark.parametrize("name", ["q", "dqn", "ddpg", "ppo", "league"])
def test_each_section_is_a_config_that_the_algorithm_takes(name: str) -> None:
    for section in tomllib.loads((PRESETS / f"{name}.toml").read_text()):
        env_id, _, option = section.replace("*", "").partition(" ")
        options = dict([option.split("=")]) if "=" in option else {}
        load_algorithm(name).Config(**preset(name, section if section.startswith("preset ") else env_id, options))


def test_atari_is_four_grey_frames_to_learn_from_and_to_watch() -> None:
    pytest.importorskip("ale_py")
    pytest.importorskip("cv2")
    choice = choose("ALE/Pong-v5")
    batch, one = make_batch(choice, 2), make_one(choice)
    assert batch.single_observation_space == one.single_observation_space
    assert batch.reset(seed=1)[0].shape == (2, 4, 84, 84)
    assert one.reset(seed=1)[0].shape == (1, 4, 84, 84) and one.render()[0].shape == (210, 160, 3)
