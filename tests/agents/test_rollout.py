"""The collector against hand-written streams of transitions: each autoreset mode, each ending, each kind of env."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from torch import Tensor

from agents.returns import gae, next_values
from agents.rollout import Collector, EnvError, Rollout
from tests.probe_envs import ENDINGS, Drift, Scripted, Verbs, mask_of, reward_of, sync

MODES = list(AutoresetMode)
LENGTHS = ((3, 5), (1, 4, 2), (6,))
GAMMA, LAMBDA = 0.9, 0.8


@dataclass
class Step:
    """One true transition."""

    obs: tuple[int, int, int]
    next_obs: tuple[int, int, int]
    reward: float
    terminated: bool
    truncated: bool


def stream(number: int, ending: str, count: int) -> list[Step]:
    """The first transitions of a scripted env, whatever resets it."""
    steps, episode = [], 0
    while len(steps) < count:
        length = LENGTHS[number][episode % len(LENGTHS[number])]
        for t in range(length):
            flags = ENDINGS[ending] if t == length - 1 else (False, False)
            steps.append(
                Step((number, episode, t), (number, episode, t + 1), reward_of(number, episode, t), *flags),
            )
        episode += 1
    return steps


def value_of(obs: Any) -> float:
    """A made-up value: different for every observation."""
    return 0.5 * float(obs[0]) + 7.0 * float(obs[1]) + 3.0 * float(obs[2]) + 1.0


def counting(obs: Tensor, mask: Any, memory: Tensor, starts: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Acts by its memory, which counts the steps of the episode."""
    memory = memory.masked_fill(starts[:, None], 0) + 1
    return memory[:, 0].long() % 3, memory, {"double": 2 * memory[:, 0]}


def collector_of(envs: Any) -> Collector:
    collector = Collector(envs)
    collector.memory = torch.zeros(envs.num_envs, 1)
    return collector


def hand_advantages(steps: list[Step]) -> list[float]:
    """Advantages of one env's transitions of one rollout, by the definition, from the last to the first."""
    advantages: list[float] = []
    following = 0.0
    for step in reversed(steps):
        future = 0.0 if step.terminated else value_of(step.next_obs)
        delta = step.reward + GAMMA * future - value_of(step.obs)
        ended = step.terminated or step.truncated
        following = delta + (0.0 if ended else GAMMA * LAMBDA * following)
        advantages.insert(0, following)
    return advantages


def advantages_of(rollout: Rollout) -> Tensor:
    values = torch.tensor([[value_of(obs) for obs in row] for row in rollout.obs.tolist()])
    final_values = torch.tensor([value_of(obs) for obs in rollout.final_obs.tolist()])
    following = next_values(values, rollout.final_index, final_values)
    flags = rollout.terminated, rollout.truncated
    return gae(rollout.rewards, values[:-1], following, *flags, GAMMA, LAMBDA)


def check_rollout(rollout: Rollout, number: int, expected: list[Step]) -> int:
    """Holds one env's valid rows against the stream; returns how many there are."""
    rows = rollout.valid[:, number].nonzero().flatten().tolist()
    expected = expected[: len(rows)]
    next_obs, advantages = rollout.next_obs(), advantages_of(rollout)
    for t, step, advantage in zip(rows, expected, hand_advantages(expected), strict=True):
        assert tuple(rollout.obs[t, number].tolist()) == step.obs
        assert tuple(next_obs[t, number].tolist()) == step.next_obs
        assert float(rollout.rewards[t, number]) == step.reward
        assert bool(rollout.terminated[t, number]) == step.terminated
        assert bool(rollout.truncated[t, number]) == step.truncated
        assert bool(rollout.starts[t, number]) == (step.obs[2] == 0)
        assert float(rollout.extras["double"][t, number]) == 2 * (step.obs[2] + 1)
        assert int(rollout.actions[t, number]) == (step.obs[2] + 1) % 3
        assert float(advantages[t, number]) == pytest.approx(advantage, rel=1e-5)
    return len(rows)


@pytest.mark.parametrize(
    ("vector", "ending"), [*((SyncVectorEnv, ending) for ending in ENDINGS), (AsyncVectorEnv, "terminated")]
)
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_and_ending_gives_the_same_transitions(mode: AutoresetMode, ending: str, vector: Any) -> None:
    makers = [partial(Scripted, n, LENGTHS[n], ending) for n in range(3)]
    envs = vector(makers, autoreset_mode=mode)
    collector = collector_of(envs)
    rollout = collector.new_rollout(7, {"double": ((), torch.float32)})
    streams = [stream(n, ending, 40) for n in range(3)]
    seen = [0, 0, 0]
    for _ in range(3):
        collector.collect(counting, rollout)
        check_finals(rollout, mode)
        for n in range(3):
            seen[n] += check_rollout(rollout, n, streams[n][seen[n] :])
    assert sorted(collector.episodes.pop()) == sorted(finished(streams, seen))
    assert collector.episodes.pop() == []
    if mode != AutoresetMode.NEXT_STEP:
        assert seen == [21, 21, 21]
    envs.close()


def check_finals(rollout: Rollout, mode: AutoresetMode) -> None:
    """Final observations in ascending order, each with the memory from before the reset."""
    ended = (rollout.terminated | rollout.truncated).flatten().nonzero().flatten()
    if mode == AutoresetMode.NEXT_STEP:
        assert len(rollout.final_index) == 0
        return
    assert rollout.final_index.tolist() == ended.tolist()
    assert rollout.final_memory[:, 0].tolist() == rollout.final_obs[:, 2].tolist()


def finished(streams: list[list[Step]], seen: list[int]) -> list[tuple[float, int]]:
    """(return, length) of the episodes that ended in what was seen."""
    episodes, total, length = [], 0.0, 0
    for steps, count in zip(streams, seen, strict=True):
        total, length = 0.0, 0
        for step in steps[:count]:
            total, length = total + step.reward, length + 1
            if step.terminated or step.truncated:
                episodes.append((total, length))
                total, length = 0.0, 0
    return episodes


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", ["dict", "tuple", "discrete", "products"])
def test_other_observation_spaces(mode: AutoresetMode, form: str) -> None:
    envs = sync(*(partial(Scripted, n, LENGTHS[n], form=form) for n in range(3)), mode=mode)
    collector = collector_of(envs)
    rollout = collector.new_rollout(9, {"double": ((), torch.float32)})
    collector.collect(counting, rollout)
    dtype = torch.float32 if form in ("dict", "tuple") else torch.int64
    assert rollout.obs.dtype == rollout.final_obs.dtype == dtype
    next_obs = rollout.next_obs()
    for n in range(3):
        rows = rollout.valid[:, n].nonzero().flatten().tolist()
        for t, step in zip(rows, stream(n, "terminated", 20), strict=False):
            obs, following = (step.obs[2], step.next_obs[2]) if form == "discrete" else (step.obs, step.next_obs)
            assert np.array_equal(rollout.obs[t, n].numpy(), obs)
            assert np.array_equal(next_obs[t, n].numpy(), following)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("masks", ["info", "method"])
@pytest.mark.parametrize("vector", [SyncVectorEnv, AsyncVectorEnv])
def test_masks_belong_to_the_observation_acted_on(mode: AutoresetMode, masks: str, vector: Any) -> None:
    makers = [partial(Scripted, n, LENGTHS[n], masks=masks) for n in range(2)]
    envs = vector(makers, autoreset_mode=mode)
    collector = collector_of(envs)
    rollout = collector.new_rollout(8, {"double": ((), torch.float32)})
    for _ in range(2):
        collector.collect(counting, rollout)
        assert rollout.action_mask is not None and rollout.action_mask.dtype == torch.bool
        for t, n in rollout.valid.nonzero().tolist():
            step = int(rollout.obs[t, n, 2])
            assert rollout.action_mask[t, n].tolist() == mask_of(step).astype(bool).tolist()
    envs.close()


class Forgetful(Scripted):
    """Gives its mask only where `when` says so, by the number of its steps."""

    def __init__(self, number: int, when: Callable[[int], bool]) -> None:
        super().__init__(number, (9,), masks="info")
        self.when = when

    def _info(self) -> dict[str, Any]:
        return super()._info() if self.when(self.steps) else {}


@pytest.mark.parametrize(
    ("when", "message"),
    [
        (lambda steps: steps != 2, r"env 1 gave no infos\["),
        (lambda steps: steps == 0, r"env 1 gave no infos\["),
    ],
)
def test_a_mask_that_one_env_forgets_is_missed(when: Callable[[int], bool], message: str) -> None:
    collector = collector_of(sync(partial(Forgetful, 0, lambda steps: True), partial(Forgetful, 1, when)))
    with pytest.raises(EnvError, match=message):
        collector.collect(counting, collector.new_rollout(8, {"double": ((), torch.float32)}))


@pytest.mark.parametrize("first", [True, False])
def test_masks_come_always_or_never(first: bool) -> None:
    collector = collector_of(sync(*[partial(Forgetful, 0, lambda steps: (steps == 0) == first)] * 2))
    with pytest.raises(EnvError, match="at every reset and step, or never"):
        collector.collect(counting, collector.new_rollout(8, {"double": ((), torch.float32)}))


class Scoring(Scripted):
    """Tells a score at the end of each of its episodes, or of none."""

    def __init__(self, number: int, tells: bool) -> None:
        super().__init__(number, (3,))
        self.tells = tells

    def step(self, action: Any) -> Any:
        *results, infos = super().step(action)
        return *results, {"episode": {"score": 10.0}} if self.tells and results[2] else infos


@pytest.mark.parametrize("mode", MODES)
def test_what_an_env_tells_of_its_episodes_is_found_in_every_mode(mode: AutoresetMode) -> None:
    """Also under SAME_STEP, where Gymnasium puts it into "final_info"; who tells nothing does not count as 0."""
    collector = collector_of(sync(partial(Scoring, 0, True), partial(Scoring, 1, False), mode=mode))
    collector.collect(counting, collector.new_rollout(9, {"double": ((), torch.float32)}))
    assert collector.episode_metrics()["charts/episodic_score"] == 10


def test_vector_entry_points_and_bounds() -> None:
    """An env batched by itself (NEXT_STEP); a Box action beyond its bounds is stored as it was and cut on the way."""
    envs = gymnasium.make_vec("CartPole-v1", 5, vectorization_mode="vector_entry_point")
    collector = Collector(envs, seed=3)
    rollout = collector.new_rollout(120)
    collector.collect(lambda obs, mask, memory, starts: ((obs[:, 2] > 0).long(), memory, {}), rollout)
    fakes = int((~rollout.valid).sum())
    ended = (rollout.terminated | rollout.truncated)[:-1]
    assert fakes == int(ended.sum()) > 0
    assert collector.episodes.pop()
    envs = gymnasium.make_vec("Pendulum-v1", 2, vectorization_mode="sync")
    collector = Collector(envs)
    rollout = collector.new_rollout(3)
    collector.collect(lambda obs, mask, memory, starts: (torch.full((2, 1), 9.0), memory, {}), rollout)
    assert (rollout.actions == 9).all()
    inner: Any = envs.unwrapped
    assert float(inner.get_attr("last_u")[0]) == 2.0


def test_same_step_envs_without_final_observations_are_refused() -> None:
    class Silent(gymnasium.vector.VectorWrapper):
        def step(self, actions: Any) -> Any:
            *results, _ = self.env.step(actions)
            return *results, {}

    collector = collector_of(Silent(sync(partial(Scripted, 0, (3,)))))
    rollout = collector.new_rollout(4, {"double": ((), torch.float32)})
    with pytest.raises(ValueError, match="final_obs"):
        collector.collect(counting, rollout)


def at_random(generator: torch.Generator) -> Any:
    def act(obs: Tensor, mask: Any, memory: Tensor, starts: Tensor) -> tuple[Tensor, Tensor, dict]:
        return torch.randint(0, 3, (len(obs),), generator=generator), memory, {}

    return act


def test_torch_worlds_write_into_the_rollout() -> None:
    seen = []

    class Watched(Drift):
        def step(self, actions: Tensor, out: Any = None) -> Any:
            seen.append({name: row.data_ptr() for name, row in out.items()})
            return super().step(actions, out)

    collector = Collector(Watched(4), seed=2)
    rollout = collector.new_rollout(25)
    collector.collect(at_random(torch.Generator().manual_seed(0)), rollout)
    for t, rows in enumerate(seen):
        assert rows["obs"] == rollout.obs[t + 1].data_ptr()
        assert rows["rewards"] == rollout.rewards[t].data_ptr()
    assert (rollout.obs[1:, :, 1] < 0.95).all(), "a reset observation follows an end"
    assert torch.equal(rollout.starts[1:], rollout.terminated | rollout.truncated)
    assert torch.equal(rollout.final_index, rollout.starts[1:].flatten().nonzero().flatten())
    assert (rollout.final_obs[rollout.truncated.flatten()[rollout.final_index], 1] == 1).all()


def test_a_saved_collector_goes_on_as_if_it_had_not_stopped() -> None:
    rollouts = []
    for interrupted in (False, True):
        generator = torch.Generator().manual_seed(0)
        collector = Collector(Drift(4), seed=2)
        rollout = collector.new_rollout(13)
        collector.collect(at_random(generator), rollout)
        if interrupted:
            saved = collector.state_dict()
            collector = Collector(Drift(4), seed=99)
            collector.load_state_dict(saved)
            rollout = collector.new_rollout(13)
        collector.collect(at_random(generator), rollout)
        rollouts.append((rollout, collector.episodes.pop()))
    (first, episodes), (second, others) = rollouts
    assert episodes == others and len(episodes) > 4
    for name in ("obs", "rewards", "terminated", "truncated", "starts", "valid", "final_index", "final_obs"):
        assert torch.equal(getattr(first, name), getattr(second, name))


@pytest.mark.parametrize("mode", MODES)
def test_what_else_episodes_tell_is_averaged_over_the_learners(mode: AutoresetMode) -> None:
    class Telling(gymnasium.vector.VectorWrapper):
        def step(self, actions: Any) -> Any:
            *results, infos = self.env.step(actions)
            if (results[2] | results[3]).any():
                told = {"kills": np.array([2.0, 50.0]), "_kills": np.ones(2, np.bool_), "t": np.zeros(2), "who": "x"}
                infos["episode"] = told
            return *results, infos

    collector = collector_of(Telling(sync(*(partial(Scripted, n, (3,)) for n in range(2)), mode=mode)))
    collector.set_opponents([Always(1)], torch.tensor([0, 1]))
    rollout = collector.new_rollout(9, {"double": ((), torch.float32)})
    collector.collect(counting, rollout)
    metrics = collector.episode_metrics()
    assert metrics.keys() == {f"charts/episodic_{name}" for name in ("return", "length", "kills")}
    assert metrics["charts/episodic_kills"] == 2
    assert collector.episode_metrics() == {}
    collector.collect(counting, rollout)
    saved, other = collector.state_dict(), Collector(Drift(2))
    assert saved["statistics"] == {"kills": [2.0] * len(saved["episodes"])}
    other.set_opponents([Always(1)], torch.tensor([0, 1]))
    other.load_state_dict({**saved, "envs": other.envs.save_state()})
    assert other.episode_metrics()["charts/episodic_kills"] == 2


class Always:
    """A frozen policy that plays one action and counts its steps."""

    def __init__(self, action: int) -> None:
        self.action = action

    def initial_memory(self, num_envs: int) -> Tensor:
        return torch.zeros(num_envs, 1)

    def act(self, obs: Tensor, mask: Any, memory: Tensor, starts: Tensor, **_: Any) -> tuple[Tensor, Tensor]:
        memory = memory.masked_fill(starts[:, None], 0)
        assert memory[:, 0].tolist() == obs[:, 2].tolist(), "it has played this episode from its first step"
        return torch.full((len(obs),), self.action), memory + 1


@pytest.mark.parametrize("mode", MODES)
def test_a_row_changes_hands_only_between_episodes(mode: AutoresetMode) -> None:
    envs = sync(*(partial(Scripted, n, LENGTHS[n]) for n in range(3)), mode=mode)
    collector = collector_of(envs)
    first, second = Always(1), Always(2)
    collector.set_opponents([first], torch.tensor([0, 1, 1]))

    def act(obs: Tensor, mask: Any, memory: Tensor, starts: Tensor) -> tuple[Tensor, Tensor, dict]:
        return torch.zeros(len(obs), dtype=torch.int64), memory, {}

    rollout = collector.new_rollout(4)
    collector.collect(act, rollout)
    real = rollout.actions.clone()
    assert real[:, 0].tolist() == [0] * 4 and real[:, 2].tolist() == [1] * 4
    assert not rollout.valid[:, 1:].any() and int(rollout.valid[:, 0].sum()) >= 3
    collector.set_opponents([second], torch.tensor([1, 0, 1]))
    collector.collect(act, rollout)
    others = [stream(n, "terminated", 20) for n in range(3)]
    players = [(0, 2), (1, 0), (1, 2)]
    for n, (before, after) in enumerate(players):
        changed = False
        for t in range(4):
            changed = changed or bool(rollout.starts[t, n])
            assert int(rollout.actions[t, n]) == (after if changed else before)
            assert not rollout.valid[t, n] or int(rollout.actions[t, n]) == 0
    learners = [step.reward for step in others[0][:3]]
    assert collector.episodes.pop()[0] == (sum(learners), 3)


def test_opponents_survive_a_save_and_wrong_owners_are_refused() -> None:
    results = []
    for interrupted in (False, True):
        collector = Collector(Drift(4), seed=2)
        opponent = RandomPolicy()
        collector.set_opponents([opponent], torch.tensor([0, 1, 1, 0]))
        rollout = collector.new_rollout(13)
        generator = torch.Generator().manual_seed(0)
        collector.collect(at_random(generator), rollout)
        if interrupted:
            saved = collector.state_dict()
            collector = Collector(Drift(4), seed=7)
            with pytest.raises(ValueError, match="1 opponents, here are 0"):
                collector.load_state_dict(saved)
            collector.set_opponents([opponent], torch.tensor([0, 1, 1, 0]))
            collector.load_state_dict(saved)
        collector.collect(at_random(generator), rollout)
        results.append((rollout.actions.clone(), rollout.rewards.clone()))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
    with pytest.raises(ValueError, match=r"0\.\.1"):
        Collector(Drift(2)).set_opponents([RandomPolicy()], torch.tensor([0, 2]))


class RandomPolicy:
    """Draws from the generator that it is given."""

    def initial_memory(self, num_envs: int) -> Tensor:
        return torch.zeros(num_envs, 0)

    def act(self, obs: Tensor, mask: Any, memory: Tensor, starts: Tensor, *, generator: Any, **_: Any) -> Any:
        return torch.randint(0, 3, (len(obs),), generator=generator), memory


def test_masks_of_torch_worlds() -> None:
    collector = Collector(Verbs(3), seed=1)
    rollout = collector.new_rollout(5)
    assert rollout.action_mask is not None and rollout.action_mask.shape == (6, 3, 11)
    zeros = torch.zeros(3, 2, dtype=torch.int64)
    collector.collect(lambda obs, mask, memory, starts: (zeros, memory, {}), rollout)
    assert (rollout.rewards <= 0).all() and (rollout.rewards >= -0.8 - 1e-6).all(), "waiting is always legal"
    assert rollout.action_mask[..., 0].all() and not rollout.action_mask.all()
