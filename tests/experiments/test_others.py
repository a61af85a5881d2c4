"""Other people's environments, with the habits that they have: what is learned of them, and said of them, is right."""

import csv
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from agents import ppo
from agents.encoding import Encoder
from agents.rollout import Collector, EnvError
from experiments import runs
from experiments.cli import main
from experiments.worlds import EnvChoice, FireReset, make_batch

LENGTH = 7


class Counting(gymnasium.Env):
    """Shows the step and is cut off after seven, each of which pays 1."""

    observation_space = spaces.Box(-10, 10, (2,), np.float32)
    action_space: spaces.Space = spaces.Discrete(2)

    def __init__(self, habit: str = "") -> None:
        self.habit, self.buffer, self.episodes = habit, np.zeros(2, np.float32), 0
        if habit == "mask":
            self.observation_space = spaces.Discrete(10)

    def seen(self) -> Any:
        if self.habit == "mask":
            return self.step_number
        self.buffer[:] = self.step_number
        return self.buffer if self.habit == "one array" else self.buffer.copy()

    def told(self, ended: bool) -> dict[str, Any]:
        now_and_then = {"won": 1.0} if self.episodes % 2 else {}
        return {
            "a number": {"episode": 3},
            "a word": {"episode": "third"},
            "sometimes": {"episode": {"r": 1.0, **now_and_then}} if ended else {},
            "yes or no": {"episode": {"won": True}} if ended else {},
            "comma": {"episode": {"kills,deaths": 2.0}} if ended else {},
            "mask": {"action_mask": np.ones(3, np.int8)},
        }.get(self.habit, {})

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.step_number, self.episodes = 0, self.episodes + 1
        return self.seen(), self.told(False)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.step_number += 1
        ended = self.step_number == LENGTH
        return self.seen(), 1.0, False, ended, self.told(ended)

    def close(self) -> None:
        if self.habit == "close":
            raise RuntimeError("the door is stuck")


class Drawing(Counting):
    """One that draws, or says so."""

    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 0.5}

    def __init__(self, habit: str = "", render_mode: str | None = None) -> None:
        super().__init__(habit)
        self.render_mode = render_mode

    def render(self) -> Any:
        if self.habit == "no picture":
            raise RuntimeError("no GL")
        size = 64 + (2 * self.step_number if self.habit == "grows" else 0)
        return np.zeros((size, 64, 3), np.uint8)


gymnasium.register("Counting-v0", f"{__name__}:Counting", disable_env_checker=True, order_enforce=False)
gymnasium.register("Drawing-v0", f"{__name__}:Drawing", disable_env_checker=True, order_enforce=False)
gymnasium.register("Batched-v0", vector_entry_point=f"{__name__}:Counting")
SMALL = ["--num-steps", "16", "--num-envs", "2", "--hidden-sizes", "8", "--num-minibatches", "1", "--device", "cpu"]


def trained(folder: Path, id: str, habit: str, steps: int = 96, *more: str) -> Path:
    words = ["train", "ppo", id, *([f"--env.habit={habit}"] if habit else []), "--total-timesteps", str(steps)]
    assert main([*words, *SMALL, *more, "--runs-dir", str(folder)]) == 0
    return runs.find("latest", str(folder))


def act(obs: torch.Tensor, mask: Any, memory: torch.Tensor, starts: Any) -> tuple[torch.Tensor, torch.Tensor, dict]:
    return torch.zeros(len(obs), dtype=torch.int64), memory, {}


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_the_last_observation_is_of_its_own_episode_though_the_env_has_one_array(vectorization: str) -> None:
    batch = make_batch(EnvChoice("Counting-v0", {"habit": "one array"}), 2, vectorization)
    collector = Collector(batch)
    rollout = collector.new_rollout(10)
    collector.collect(act, rollout)
    batch.close()
    assert rollout.final_obs.tolist() == [[7, 7], [7, 7]] and rollout.obs[7].tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("habit", ["a number", "a word", "yes or no", "sometimes", "comma", "close"])
def test_it_is_trained_on_and_evaluated(habit: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = trained(tmp_path, "Counting-v0", habit, 320, "--eval-every", "96", "--eval-episodes", "20")
    assert main(["evaluate", str(run), "--episodes", "30"]) == 0
    printed = capsys.readouterr()
    assert "7.00" in printed.out and ("won 1" in printed.out) == (habit in ("yes or no", "sometimes"))
    assert ("the environment's close failed with RuntimeError: the door is stuck" in printed.err) == (habit == "close")
    before = (run / "metrics.csv").read_text()
    assert main(["train", "--resume", str(run), "--total-timesteps", "384", "--eval-episodes", "0"]) == 0
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (run / "metrics.csv").read_text().startswith(before) and [int(row["step"]) for row in rows][-1] == 384
    if habit == "comma":
        assert float(rows[0]["charts/episodic_kills,deaths"]) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train q Counting-v0 --env.habit mask", "masks have 3 columns, its actions need 2"),
        ("train ppo Batched-v0", "registered with a vector_entry_point alone"),
        ("train ppo Counting-v0 --seed 18446744073709551616", "--seed must lie in 0..9223372036854775807"),
        ("train ppo Counting-v0 --threads 100000", "a thread per core is enough"),
        ("train ppo Counting-v0 --stop-at-return nan", "--stop-at-return must be a number"),
    ],
)
def test_what_can_not_be_learned_from_is_told_in_a_line(
    words: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main([*words.split(), "--total-timesteps", "64", "--runs-dir", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("id", "habit", "file", "said"),
    [
        ("Counting-v0", "", "a.gif", "where it is to draw pictures: TypeError"),
        ("Drawing-v0", "no picture", "a.gif", "render failed with RuntimeError: no GL"),
        ("Drawing-v0", "no picture", "a.mp4", "render failed with RuntimeError: no GL"),
        ("Drawing-v0", "grows", "a.mp4", "All images in a movie should have same size"),
        ("Drawing-v0", "", "a.gif", ""),
    ],
)
def test_what_can_not_be_watched_says_why(
    id: str, habit: str, file: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = trained(tmp_path, id, habit, 64, "--eval-episodes", "0")
    code = main(["play", str(run), "--episodes", "1", "--video", str(tmp_path / file)])
    error = capsys.readouterr().err
    assert (code, error) == (0, "") if not said else code == 2 and said in error


def test_a_return_to_stop_at_is_kept_with_the_run(tmp_path: Path) -> None:
    """The last five iterations before the stop count after it."""
    run = trained(tmp_path, "Counting-v0", "", 96, "--stop-at-return", "6.5", "--eval-episodes", "0")
    assert runs.read_config(run).stop_at_return == 6.5
    words = ["train", "--resume", str(run), "--total-timesteps", "960", "--eval-episodes", "0"]
    assert main(words) == 0
    assert runs.checkpoints(run)[-1].stem == f"step_{160:012d}"
    assert main([*words, "--stop-at-return", "inf"]) == 0
    assert runs.checkpoints(run)[-1].stem == f"step_{960:012d}"


def test_a_batch_that_resets_itself_without_saying_how_is_refused() -> None:
    """Every episode has one step, so that the step after an end, which NEXT_STEP has for the reset, ends again."""

    class Bandit(gymnasium.vector.VectorEnv):
        num_envs, metadata = 2, {}
        single_observation_space, single_action_space = spaces.Box(0, 1, (1,)), spaces.Discrete(2)
        device = "cpu"  # said by one that speaks NumPy

        def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict]:
            return np.zeros((2, 1), np.float32), {}

        def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict]:
            return np.zeros((2, 1), np.float32), np.ones(2), np.ones(2, bool), np.zeros(2, bool), {}

    config = ppo.Config(num_envs=2, num_steps=8, total_timesteps=64)
    with pytest.raises(EnvError, match="autoreset_mode"):
        next(ppo.learn(Bandit(), config))
    bandit = Bandit()
    bandit.metadata = {"autoreset_mode": AutoresetMode.DISABLED}
    assert next(ppo.learn(bandit, config))["charts/episodic_return"] == 1


@pytest.mark.parametrize("id", ["Pendulum-v1", "quintet/Pendulum-v1"])
def test_an_actor_that_went_astray_is_not_the_environment_s_fault(
    id: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = f"train ddpg {id} --total-timesteps 600 --learning-starts 100 --batch-size 32 --hidden-sizes 32 32"
    assert main([*words.split(), "--learning-rate", "1e6", "--device", "cpu", "--runs-dir", str(tmp_path)]) == 2
    assert "training went astray: after" in capsys.readouterr().err
    assert not runs.checkpoints(runs.find("latest", str(tmp_path)))


class Mission(spaces.Space):
    """A space of somebody's own, such as MiniGrid's texts."""


@pytest.mark.parametrize("space", [Mission(), spaces.Dict(mission=Mission(), direction=spaces.Discrete(4))])
def test_a_space_of_somebodys_own_is_told(space: spaces.Space) -> None:
    with pytest.raises(ValueError, match="have no fixed size; wrap the env"):
        Encoder(space)


def test_pixels_of_a_picture_beside_other_things_come_as_shares() -> None:
    space = spaces.Dict(
        icon=spaces.Box(0, 255, (2, 2, 3), np.uint8), picture=spaces.Box(0, 255, (36, 36, 1), np.uint8),
        speed=spaces.Box(-1, 1, (1,), np.float32),
    )  # fmt: skip
    obs = {name: np.full((2, *(part.shape or ())), 51, part.dtype) for name, part in space.items()}
    seen = Encoder(space)(obs)
    assert seen.shape == (2, 12 + 36 * 36 + 1) and seen.dtype == torch.float32
    assert (seen[:, :12] == 51).all() and seen[:, 12:-1] == pytest.approx(0.2) and (seen[:, -1] == 51).all()


def test_a_wrapped_world_without_masks_is_learned_from() -> None:
    make = lambda: gymnasium.wrappers.TransformReward(gymnasium.make("quintet/CartPole-v1"), lambda r: 2 * float(r))  # noqa: E731
    batch = gymnasium.vector.SyncVectorEnv([make] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    collector = Collector(batch, seed=1)
    rollout = collector.new_rollout(4)
    collector.collect(lambda obs, *_: (torch.zeros(2, dtype=torch.int64), collector.memory, {}), rollout)
    assert (rollout.rewards == 2).all() and rollout.action_mask is None


class Served(gymnasium.Env):
    """Waits for FIRE."""

    observation_space, action_space = spaces.Discrete(2), spaces.Discrete(2)

    def __init__(self, meanings: list[str]) -> None:
        self.get_action_meanings = lambda: meanings

    def reset(self, **options: Any) -> tuple[int, dict]:
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict]:
        return action, 0.0, False, False, {}


@pytest.mark.parametrize(("meanings", "seen"), [(["NOOP", "FIRE"], 1), (["NOOP", "UP"], 0)])
def test_a_game_that_waits_for_fire_begins(meanings: list[str], seen: int) -> None:
    assert FireReset(Served(meanings)).reset()[0] == seen
