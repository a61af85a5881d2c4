"""The replay keeps the last transitions, whole and in their own dtypes."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from agents import replay as replay_module
from agents.replay import Replay
from agents.rollout import Collector


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


def filled(capacity: int, steps: int, mode: AutoresetMode) -> Replay:
    makers = [lambda: Counting(0, 3, False), lambda: Counting(1, 4, True)]
    collector = Collector(SyncVectorEnv(makers, autoreset_mode=mode))
    rollout = collector.new_rollout(1)
    replay = Replay(capacity, rollout)
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
    assert torch.equal(kept["terminated"], (kept["next_obs"][:, 0] == 0) & (kept["next_obs"][:, 1] == 3))


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
    batch = replay.sample(4000, torch.Generator().manual_seed(0))
    assert torch.equal(batch.rewards, batch.next_obs[:, 1].float())
    counts = torch.bincount(batch.obs[:, 0].long(), minlength=2)
    assert abs(counts[0] - 2000) < 200


def test_what_does_not_fit_is_refused_with_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_module, "free_memory", lambda device: 2.0**20)
    with pytest.raises(ValueError, match=r"a replay of 1,000,000 transitions takes 0\.02 GiB.*lower buffer_size to"):
        filled(1_000_000, 1, AutoresetMode.SAME_STEP)
