"""The replay keeps the last transitions, whole and in their own dtypes."""

import math
from functools import partial
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from agents import replay as replay_module
from agents.replay import Replay
from agents.rollout import Collector
from tests.probe_envs import LENGTHS_OF_TESTS as LENGTHS
from tests.probe_envs import Scripted, mask_of, sync


class Counting(gymnasium.Env):
    """Sees [env, step]; ends after `length` steps, by termination or truncation."""

    observation_space = spaces.Box(0, 255, (2,), np.uint8)
    action_space = spaces.Discrete(4)

    def __init__(self, number: int, length: int, truncates: bool) -> None:
        self.number, self.length, self.truncates, self.steps = number, length, truncates, 0

    def _obs(self) -> np.ndarray:
        return np.array([self.number, self.steps], np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._obs(), {}

    def step(self, action):
        self.steps += 1
        over = self.steps == self.length
        return self._obs(), float(self.steps), over and not self.truncates, over and self.truncates, {}


def filled(
    capacity: int, steps: int, mode: AutoresetMode, num_steps: int = 1, rollout_steps: int = 1, gamma: float = 0.5
) -> Replay:
    makers = [lambda: Counting(0, 3, False), lambda: Counting(1, 4, True)]
    collector = Collector(SyncVectorEnv(makers, autoreset_mode=mode))
    rollout = collector.new_rollout(rollout_steps)
    replay = Replay(capacity, rollout, gamma, num_steps)
    for _ in range(steps):
        collector.collect(lambda obs, mask, memory, starts: (obs[:, 1].long() % 4, memory, {}), rollout)
        replay.add(rollout)
    return replay


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_every_transition_leads_to_its_own_next_step(mode: AutoresetMode) -> None:
    replay = filled(100, 20, mode)
    kept = {name: values[: replay.size] for name, values in replay.store.items()}
    assert kept["obs"].dtype == torch.uint8 and replay.size > 30
    assert torch.equal(kept["next_obs"][:, 0], kept["obs"][:, 0])
    assert torch.equal(kept["next_obs"][:, 1], kept["obs"][:, 1] + 1)
    assert torch.equal(kept["rewards"], kept["next_obs"][:, 1].float())
    assert torch.equal(kept["actions"], kept["obs"][:, 1].long() % 4)
    terminated = (kept["next_obs"][:, 0] == 0) & (kept["next_obs"][:, 1] == 3)
    assert torch.equal(kept["discounts"], torch.where(terminated, 0, 0.5))


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("rollout_steps", [1, 2, 7])
@pytest.mark.parametrize("num_steps", [2, 3, 5, 9])
def test_steps_are_summed_to_the_end_of_the_episode_and_no_further(
    num_steps: int, rollout_steps: int, mode: AutoresetMode
) -> None:
    """World 0 terminates after step 3, world 1 is truncated after step 4; a step's reward is its number, from 1 on."""
    replay = filled(1000, 40 // rollout_steps, mode, num_steps, rollout_steps)
    kept = {name: values[: replay.size].tolist() for name, values in replay.store.items()}
    assert replay.size > 30
    rows = zip(kept["obs"], kept["next_obs"], kept["rewards"], kept["discounts"], strict=True)
    for (number, step), next_obs, reward, discount in rows:
        length = 3 + number
        last = min(step + num_steps, length)
        assert next_obs == [number, last]
        assert reward == sum(0.5**k * (step + 1 + k) for k in range(last - step))
        assert discount == (0 if number == 0 and last == length else 0.5 ** (last - step))


def test_every_step_is_kept_once_whatever_a_transition_spans() -> None:
    one, several = filled(1000, 30, AutoresetMode.SAME_STEP), filled(1000, 30, AutoresetMode.SAME_STEP, num_steps=4)
    assert several.size == one.size - 2 * 3
    for name in ("obs", "actions"):
        assert torch.equal(several.store[name][: several.size], one.store[name][: several.size])


def test_what_waits_goes_on_after_loading_unless_the_worlds_began_anew() -> None:
    whole = filled(100, 7, AutoresetMode.SAME_STEP, num_steps=3)
    for continues in (True, False):
        other = filled(100, 0, AutoresetMode.SAME_STEP, num_steps=3)
        other.load_state_dict(whole.state_dict(), continues)
        assert len(other.waiting["rewards"]) == (2 if continues else 0)
        assert not continues or torch.equal(other.waiting["obs"], whole.waiting["obs"])


@pytest.mark.parametrize("capacity", [3, 7, 8, 1000])
def test_blocks_that_wrap_round_leave_the_newest_steps(capacity: int) -> None:
    """Blocks of 8 of an endless world, in rings smaller, equal and larger."""
    collector = Collector(SyncVectorEnv([lambda: Counting(0, 200, False)] * 2))
    rollout = collector.new_rollout(4)
    replay = Replay(capacity, rollout, 0.9)
    for block in range(1, 6):
        collector.collect(lambda obs, mask, memory, starts: (obs[:, 1].long() % 4, memory, {}), rollout)
        assert replay.add(rollout) == 8
        assert replay.size == min(capacity, 8 * block)
        steps = sorted(replay.store["obs"][: replay.size, 1].tolist())
        assert steps == [step // 2 for step in range(8 * block)][-replay.size :]
        assert torch.equal(replay.store["next_obs"][: replay.size, 1], replay.store["obs"][: replay.size, 1] + 1)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_masks_are_those_of_what_a_step_led_to(mode: AutoresetMode) -> None:
    """Also where an episode ended and the next one's first mask is what the next action is chosen by."""
    makers = [partial(Scripted, n, LENGTHS[n], "truncated", masks="info") for n in range(3)]
    collector = Collector(sync(*makers, mode=mode))
    rollout = collector.new_rollout(6)
    replay = Replay(50, rollout, 0.9)
    collector.collect(lambda obs, mask, memory, starts: (mask.long().argmax(1), memory, {}), rollout)  # pyright: ignore
    number = replay.add(rollout)
    ends = rollout.truncated.flatten()[rollout.valid.flatten()]
    assert ends.any() and (replay.store["discounts"][:number] > 0).all()
    for row in range(number):
        expected = mask_of(int(replay.store["next_obs"][row, 2]))
        assert replay.store["next_mask"][row].int().tolist() == expected.tolist()
    assert replay.take(replay.draw(2, torch.Generator())).next_mask is not None


def test_the_ring_keeps_the_newest_and_goes_on_after_loading() -> None:
    replay = filled(5, 4, AutoresetMode.SAME_STEP)
    assert (replay.size, replay.position) == (5, 3)
    assert replay.store["obs"].tolist() == [[1, 2], [0, 0], [1, 3], [1, 1], [0, 2]]
    other = filled(5, 1, AutoresetMode.SAME_STEP)
    other.load_state_dict(replay.state_dict())
    assert (other.size, other.position) == (5, 3)
    assert all(torch.equal(other.store[name], values) for name, values in replay.store.items())


def test_samples_are_uniform_and_belong_together() -> None:
    replay = filled(100, 20, AutoresetMode.SAME_STEP)
    batch = replay.take(replay.draw(4000, torch.Generator().manual_seed(0)))
    assert torch.equal(batch.rewards, batch.next_obs[:, 1].float())
    counts = torch.bincount(batch.obs[:, 0].long(), minlength=2)
    assert abs(counts[0] - 2000) < 200


def test_what_does_not_fit_is_refused_with_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_module, "free_memory", lambda device: 2.0**20)
    with pytest.raises(ValueError, match=r"a replay of 1,000,000 transitions takes 0\.02 GiB.*lower buffer_size to"):
        filled(1_000_000, 1, AutoresetMode.SAME_STEP)


def test_a_replay_of_another_capacity_is_refused() -> None:
    saved = filled(5, 4, AutoresetMode.SAME_STEP).state_dict()
    for capacity in (4, 6):
        with pytest.raises(ValueError, match=r"another capacity.*keep buffer_size"):
            filled(capacity, 0, AutoresetMode.SAME_STEP).load_state_dict(saved)


def test_nothing_is_drawn_from_an_empty_replay() -> None:
    with pytest.raises(ValueError, match="the replay is empty"):
        filled(5, 0, AutoresetMode.SAME_STEP).draw(1, torch.Generator())


def test_the_memory_of_a_container_counts(tmp_path: Path) -> None:
    assert replay_module._free_of_container(tmp_path) == math.inf
    (tmp_path / "memory.stat").write_text("anon 900\ninactive_file 300\n")
    (tmp_path / "memory.current").write_text("1200\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert replay_module._free_of_container(tmp_path) == math.inf
    (tmp_path / "memory.max").write_text("2000\n")
    assert replay_module._free_of_container(tmp_path) == 1100
    assert 0 < replay_module.free_memory(torch.device("cpu")) < 2**60
