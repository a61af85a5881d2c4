"""Two batches for one learner: the same rollouts as one batch, and each steps while the other is served."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from agents import ddpg, dqn, ppo
from agents.halves import HalvedCollector, HalvedEnvs, alternate, make_collector
from agents.rollout import Collector


def batch(count: int, mode: AutoresetMode = AutoresetMode.SAME_STEP, name: str = "CartPole-v1") -> SyncVectorEnv:
    def make():
        return gymnasium.make(name, max_episode_steps=12)

    return SyncVectorEnv([make] * count, autoreset_mode=mode)


def halved(first: int, second: int, **options) -> HalvedEnvs:
    return HalvedEnvs(batch(first, **options), batch(second, **options))


def act(obs, mask, memory, starts):
    return (obs[:, 2] > 0).long(), memory + 1, {"told": obs[:, :2] * 2}


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_two_batches_give_the_rollouts_of_one(mode):
    whole, parts = Collector(batch(5, mode), seed=3), HalvedCollector(halved(3, 2, mode=mode), seed=3)
    rollouts = []
    for collector in (whole, parts):
        collector.memory = torch.zeros(5, 1)
        rollouts.append(collector.new_rollout(10, {"told": ((2,), torch.float32)}))
    for _ in range(4):
        whole.collect(act, rollouts[0])
        parts.collect(act, rollouts[1])
        one, other = rollouts
        for name in ("obs", "actions", "rewards", "terminated", "truncated", "starts", "valid", "memory"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name
        assert torch.equal(one.extras["told"], other.extras["told"])
        assert torch.equal(one.next_obs()[one.valid], other.next_obs()[other.valid])
        order, theirs = one.final_index.argsort(), other.final_index.argsort()
        assert torch.equal(one.final_index[order], other.final_index[theirs])
        assert torch.equal(one.final_memory[order], other.final_memory[theirs])
        assert one.all_valid == other.all_valid
        mine, found = whole.episode_metrics(), parts.episode_metrics()
        assert mine.keys() == found.keys()
        assert list(mine.values()) == pytest.approx(list(found.values()))


def test_each_half_steps_while_the_other_is_served():
    events = []

    class Noted(SyncVectorEnv):
        def step(self, actions):
            events.append(f"step {len(actions)}")
            return super().step(actions)

    def noted(obs, mask, memory, starts):
        events.append(f"serve {len(obs)}")
        return torch.zeros(len(obs), dtype=torch.int64), memory, {}

    makers = [lambda: gymnasium.make("CartPole-v1")]
    same = AutoresetMode.SAME_STEP
    collector = HalvedCollector(HalvedEnvs(*(Noted(makers * n, autoreset_mode=same) for n in (3, 2))))
    collector.collect(noted, collector.new_rollout(2))
    turn = ["step 3", "serve 3", "step 2", "serve 2"]
    assert events == ["serve 3", "serve 2", *turn, "step 3", "step 2"]


@pytest.mark.parametrize(
    ("module", "name", "config"),
    [
        (ppo, "CartPole-v1", ppo.Config(num_envs=4, num_steps=16, total_timesteps=256, memory="gru")),
        (dqn, "CartPole-v1", dqn.Config(num_envs=4, learning_starts=32, total_timesteps=200, buffer_size=500)),
        (ddpg, "Pendulum-v1", ddpg.Config(num_envs=4, learning_starts=32, total_timesteps=200, buffer_size=500)),
    ],
)
def test_every_algorithm_learns_from_halves_and_goes_on(module, name, config):
    def envs():
        return halved(2, 2, name=name)

    state = module.TrainState(envs(), config)
    metrics = list(module.learn(state.collector.envs, config, state))
    assert all(np.isfinite(value) for one in metrics for value in one.values())
    assert state.global_step >= config.total_timesteps
    again = module.TrainState(envs(), config)
    again.load_state_dict(state.state_dict())
    longer = replace(config, total_timesteps=2 * config.total_timesteps)
    assert list(module.learn(again.collector.envs, longer, again))


@pytest.mark.parametrize("sizes", [(2, 2), (3, 2)])
def test_halves_of_several_ranks_have_the_seeds_of_a_whole_batch(monkeypatch, sizes):
    class Seeded(gymnasium.Env):
        observation_space, action_space = gymnasium.spaces.Discrete(1000), gymnasium.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            return seed, {}

    def envs(count):
        return SyncVectorEnv([Seeded] * count, autoreset_mode=AutoresetMode.SAME_STEP)

    monkeypatch.setattr("agents.distributed.rank", lambda: 2)
    whole = Collector(envs(sum(sizes)), seed=7)
    parts = HalvedCollector(HalvedEnvs(*map(envs, sizes)), seed=7).parts
    assert torch.cat([part.obs for part in parts]).tolist() == whole.obs.tolist()


def test_opponents_are_refused():
    collector = make_collector(halved(1, 1))
    with pytest.raises(ValueError, match="have one player a row"):
        collector.set_opponents([], torch.zeros(2, dtype=torch.int64))


def test_alternating_ends_when_all_have_ended():
    seen = []

    def count(name, number):
        for k in range(number):
            seen.append((name, k))
            yield

    alternate([count("a", 3), count("b", 1)])
    assert seen == [("a", 0), ("b", 0), ("a", 1), ("a", 2)]
