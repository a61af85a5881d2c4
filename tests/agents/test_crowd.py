"""Policies that act together do what each would do alone."""

from typing import Any

import pytest
import torch

import envs
from agents import ppo
from agents.owners import Owners

FORMS = {
    "plain": {},
    "lstm": {"memory": "lstm"},
    "gru": {"memory": "gru", "shared_trunk": True},
    "transformer": {"memory": "transformer", "memory_size": 16, "context_steps": 4},
    "entities": {"network": "entities", "memory": "lstm"},
}


def policies(form: str, number: int, world: str) -> tuple[list[Any], Any]:
    """Policies with weights of their own, and the duels that they play."""
    duels = envs.make_vec(world, 5, seed=1, num_threads=1)
    made = []
    for seed in range(number):
        torch.manual_seed(seed)
        config = ppo.Config(hidden_sizes=(16,), normalize_obs=True, **FORMS[form])
        space, layouts = duels.single_observation_space, (duels.action_layout, duels.obs_layout)
        policy = ppo.make_policy(space, duels.single_action_space, config, *layouts).eval()
        for weight in policy.actor.parameters():
            weight.data.normal_(generator=torch.Generator().manual_seed(seed))
        made.append(policy)
    return made, duels


@pytest.mark.parametrize("form", FORMS)
def test_a_crowd_plays_as_its_members_would(form: str) -> None:
    members, duels = policies(form, 3, "quintet/Duel-v0")
    owner = torch.tensor([0, 1, 2, 3, 3, 1, 0, 2, 3, 3])
    rows, together = len(owner), Owners(10, torch.device("cpu"), seed=4)
    together.assign(members, owner)
    assert len(together.crowds) == 1
    alone = [one.initial_memory(rows) for one in members]
    generator = torch.Generator().manual_seed(4)
    obs, infos = duels.reset()
    starts = torch.ones(rows, dtype=torch.bool)
    with torch.inference_mode():
        for step in range(6):
            mask = infos["action_mask"]
            actions = together.act(torch.zeros(rows, 3, dtype=torch.int64), obs, mask, starts)
            theirs = owner > 0
            noise = torch.zeros(rows, members[0].heads.num_noise)
            noise[theirs] = members[0].heads.noise((int(theirs.sum()),), generator, "cpu")
            expected = torch.zeros_like(actions)
            for number, one in enumerate(members):
                mine = owner == number + 1
                expected[mine], alone[number][mine] = one.act(
                    obs[mine], mask[mine], alone[number][mine], starts[mine], noise=noise[mine]
                )
                torch.testing.assert_close(next(iter(together.crowds.values())).memory[mine], alone[number][mine])
            assert torch.equal(actions, expected), step
            obs, _, terminated, truncated, infos = duels.step(actions)
            starts = terminated | truncated


def test_rows_keep_their_memory_and_player_when_the_crowd_changes() -> None:
    (first, second, third), duels = policies("lstm", 3, "quintet/Duel-v0")
    owners = Owners(10, torch.device("cpu"))
    owners.assign([first, second], torch.arange(10) % 3)
    obs, infos = duels.reset()
    starts = torch.ones(10, dtype=torch.bool)
    with torch.inference_mode():
        owners.act(torch.zeros(10, 3, dtype=torch.int64), obs, infos["action_mask"], starts)
        (crowd,) = owners.crowds.values()
        before = crowd.memory.clone()
        owners.assign([third], torch.arange(10) % 2)
        assert owners.opponents == [third, first, second]
        (crowd,) = owners.crowds.values()
        assert torch.equal(crowd.memory, before) and (before[1] != 0).any()
        assert [owners.opponents[k - 1] if k else None for k in owners.owner[:3].tolist()] == [None, first, second]
