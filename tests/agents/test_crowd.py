"""Policies that act together do what each would do alone."""

from typing import Any

import pytest
import torch

import envs
from agents import ppo
from agents.crowd import by_member, make_of
from agents.owners import Owners, Scripted

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
        policy = ppo.make_policy(duels, config).eval()
        for weight in policy.actor.parameters():
            weight.data.normal_(generator=torch.Generator().manual_seed(seed))
        made.append(policy)
    return made, duels


def test_what_was_recorded_without_opponents_does_not_hold_beside_scripted_ones() -> None:
    owners = Owners(4, torch.device("cpu"), 0)
    before = owners.version
    owners.assign([Scripted("easy", 1)], torch.tensor([0, 1, 0, 1]))
    assert owners.version != before
    same = owners.version
    owners.assign([Scripted("medium", 2)], torch.tensor([0, 0, 1, 1]))
    assert owners.version == same


@pytest.mark.parametrize("other", [{"activation": "relu"}, {"precision": "bfloat16"}, {"team_size": 2}])
def test_policies_that_only_look_alike_do_not_act_together(other: dict[str, Any]) -> None:
    arena = envs.make_vec("quintet/Arena-v0", 1, num_threads=1)
    kinds: dict[str, Any] = {"team_size": 5} if "team_size" in other else {}
    makes = [
        make_of(ppo.make_policy(arena, ppo.Config(hidden_sizes=(8,), **settings)))
        for settings in (kinds, kinds, kinds | other)
    ]
    assert makes[0] == makes[1] != makes[2]


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
            noise = members[0].heads.noise((rows,), generator, "cpu")
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


@pytest.mark.parametrize("form", FORMS)
def test_a_crowd_of_fixed_operations_plays_as_any_other(form: str) -> None:
    members, duels = policies(form, 4, "quintet/Duel-v0")
    plain, fixed = (Owners(10, torch.device("cpu"), seed=4, fixed=kind) for kind in (False, True))
    obs, infos = duels.reset()
    starts = torch.ones(10, dtype=torch.bool)
    drawn, versions, changed = torch.Generator().manual_seed(1), [], torch.zeros(3, dtype=torch.bool)
    for playing in ([0, 1, 2], [3], [1, 3], [], [2]):
        owner = torch.randint(1 + len(playing), (10,), generator=drawn)
        for owners in (plain, fixed):
            owners.assign([members[k] for k in playing], owner)
        versions.append(fixed.version)
        with torch.inference_mode():
            for _ in range(4):
                own = torch.zeros(10, 3, dtype=torch.int64)
                one, other = (owners.act(own, obs, infos["action_mask"], starts) for owners in (plain, fixed))
                assert torch.equal(one, other) and torch.equal(plain.owner, fixed.owner)
                changed |= (one != own).any(0)
                for crowd, twin in zip(plain.crowds.values(), fixed.crowds.values(), strict=True):
                    mine = crowd.member[plain.owner] >= 0
                    torch.testing.assert_close(crowd.memory[mine], twin.memory[mine])
                obs, _, _, _, infos = duels.step(one)
                starts = torch.rand(10, generator=drawn) < 0.4
    assert changed.all()


def test_what_a_crowd_of_fixed_operations_works_on_is_replaced_only_where_it_is_too_small() -> None:
    members, _ = policies("lstm", 4, "quintet/Duel-v0")
    owners, seen = Owners(10, torch.device("cpu"), fixed=True), []
    for playing, rows in ((2, 4), (1, 4), (2, 3), (2, 6), (2, 6), (0, 0), (2, 6)):
        owners.owner.zero_()
        owner = torch.zeros(10, dtype=torch.int64)
        owner[:rows] = torch.arange(rows) % max(playing, 1) + 1
        owners.assign(members[:playing], owner)
        held = [] if not playing else [next(iter(owners.crowds.values())).member.data_ptr()]
        seen.append([owners.version, owners.owner.data_ptr(), *held])
    assert [version for version, *_ in seen] == [1, 2, 2, 2, 2, 3, 4]
    assert len({owner for _, owner, *_ in seen}) == 1
    assert seen[1] == seen[2] == seen[3] == seen[4] != seen[0]


def test_rows_are_sorted_by_member() -> None:
    table, place = by_member(torch.tensor([1, -1, 0, 1, 1, -1]), 3, 3)
    assert table.tolist() == [[2, 0, 0], [0, 3, 4], [0, 0, 0]]
    assert place.tolist()[0] == 0 and place.tolist()[2:5] == [0, 1, 2]
