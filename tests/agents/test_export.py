"""Exported policies do what the policies do: for every algorithm, batches of any size, memories fed back."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents import ddpg, dqn, ppo, tabular_q
from agents.export import Function, Loaded, write
from agents.outputs import outputs

BOX, WIDE = spaces.Box(-np.inf, np.inf, (3,), np.float32), spaces.Box(-0.05, 0.02, (2,), np.float32)
IMAGE = spaces.Box(0, 255, (36, 36, 1), np.uint8)
POLICIES: dict[str, Any] = {
    "q": (tabular_q, spaces.MultiDiscrete([3, 4], start=[1, 0]), spaces.Discrete(3, start=-1), {}),
    "double": (tabular_q, spaces.Discrete(5), spaces.Discrete(3), {"target": "double"}),
    "dqn": (dqn, BOX, spaces.Discrete(4, start=2), {"dueling": True, "head": "quantile", "num_atoms": 5}),
    "images": (dqn, IMAGE, spaces.Discrete(4), {}),
    "ddpg": (ddpg, BOX, WIDE, {}),
    "box": (ppo, BOX, WIDE, {"normalize_obs": True}),
    "parts": (ppo, spaces.Discrete(5), spaces.MultiDiscrete([3, 4]), {}),
    "lstm": (ppo, BOX, spaces.Discrete(3), {"memory": "lstm", "normalize_obs": True}),
    "gru": (ppo, BOX, spaces.Discrete(3), {"memory": "gru"}),
    "transformer": (ppo, BOX, spaces.Discrete(3), {"memory": "transformer", "context_steps": 3}),
}


def make(name: str) -> tuple[Any, spaces.Space]:
    """An untrained policy whose weights and statistics are not at their beginnings, and its actions' space."""
    module, seen, acts, settings = POLICIES[name]
    torch.manual_seed(0)
    policy = module.make_policy(
        SimpleNamespace(single_observation_space=seen, single_action_space=acts), module.Config(**settings)
    )
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        if getattr(policy, "norm", None) is not None:
            policy.norm.update(3 + 2 * torch.randn(64, 3))
        if module is tabular_q:
            policy.tables.normal_()
    return policy, acts


def observations(name: str, number: int, seed: int) -> torch.Tensor:
    _, space, _, _ = POLICIES[name]
    space.seed(seed)
    return torch.as_tensor(np.stack([space.sample() for _ in range(number)]))


def arguments(function: Function, policy: Any, name: str, number: int, seed: int = 0) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    columns = getattr(getattr(policy, "heads", None), "num_columns", 0) or getattr(policy, "num_actions", 3)
    mask = torch.rand(number, columns, generator=draw) < 0.6
    mask[:, 0] = True
    given = {
        "obs": observations(name, number, seed), "mask": mask, "memory": policy.initial_memory(number),
        "starts": torch.rand(number, generator=draw) < 0.3,
    }  # fmt: skip
    return [given[one] for one in function.inputs]


def check(name: str, path: Path, masked: bool) -> None:
    """Writes, loads and compares on batches of 1, 2 and 40 rows, four steps each."""
    policy, acts = make(name)
    function = Function(policy, acts, masked)
    write(function, arguments(function, policy, name, 3), path)
    loaded = Loaded(path)
    assert loaded.inputs == function.inputs and loaded.outputs[0] == "action"
    for number in (1, 2, 40):
        memory: Any = policy.initial_memory(number)
        fed_back: Any = memory
        for step in range(4):
            given = arguments(function, policy, name, number, step)
            named: dict[str, Any] = dict(zip(function.inputs, given, strict=True))
            starts = named.get("starts", torch.zeros(number, dtype=torch.bool))
            with torch.no_grad():
                due = outputs(policy, named["obs"], named.get("mask"), memory, starts)
                arguments_of_act = (named["obs"], named.get("mask"), memory, starts)
                action, memory = policy.act(*arguments_of_act, deterministic=True)
            if isinstance(acts, spaces.Box):
                action = action.clamp(torch.tensor(acts.low), torch.tensor(acts.high))
            found = loaded(*(fed_back if one == "memory" else named[one] for one in loaded.inputs))
            fed_back = found.get("next_memory", fed_back)
            torch.testing.assert_close(found["action"], action)
            for one in set(due) - {"action"}:
                torch.testing.assert_close(found[one], due[one], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", POLICIES)
def test_torchscript_is_the_policy(name: str, tmp_path: Path) -> None:
    continuous = isinstance(POLICIES[name][2], spaces.Box)
    for masked in (False,) if continuous else (False, True):
        check(name, tmp_path / f"{masked}.pt", masked)


SLOW = [("parts", True), ("lstm", False), ("transformer", False), ("images", False), ("dqn", True), ("ddpg", False)]
ONNX = [("q", True), ("box", False), *(pytest.param(*one, marks=pytest.mark.slow) for one in SLOW)]


@pytest.mark.parametrize(("name", "masked"), ONNX)
def test_onnx_is_the_policy(name: str, masked: bool, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    check(name, tmp_path / "policy.onnx", masked)


def test_what_is_told_of_a_policy_by_hand() -> None:
    """Values of illegal actions are -inf, actions count from where the space does."""
    policy, _ = make("q")
    policy.tables.zero_()
    policy.tables[0, 1 * 4 + 2] = torch.tensor([1.0, 3.0, 2.0])
    mask = torch.tensor([[True, False, True]])
    found = outputs(policy, torch.tensor([[2, 2]]), mask, torch.zeros(1, 0), torch.zeros(1).bool())
    assert found["values"].tolist() == [[1.0, -torch.inf, 2.0]] and found["action"].tolist() == [1]


def test_eight_bits_are_smaller_and_nearly_the_same(tmp_path: Path) -> None:
    policy, acts = make("images")
    function = Function(policy, acts, False)
    example = arguments(function, policy, "images", 64)
    sizes, values = [], []
    for int8 in (False, True):
        path = tmp_path / f"{int8}.pt"
        write(function, example, path, int8)
        sizes.append(path.stat().st_size)
        values.append(Loaded(path)(*example)["values"])
    assert sizes[1] < 0.6 * sizes[0]
    gap = (values[1] - values[0]).abs().max()
    assert 0 < gap < 0.1 * values[0].abs().max()


def test_what_can_not_be_written_is_told(tmp_path: Path) -> None:
    policy, acts = make("q")
    function = Function(policy, acts, False)
    example = arguments(function, policy, "q", 3)
    with pytest.raises(ValueError, match=r"must end in .pt or .onnx, got policy.h5"):
        write(function, example, tmp_path / "policy.h5")
    with pytest.raises(ValueError, match="no linear layers; leave --int8 out"):
        write(function, example, tmp_path / "policy.pt", int8=True)
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), str(tmp_path / "other.pt"))
    with pytest.raises(ValueError, match="not a policy that `quintet export` wrote"):
        Loaded(tmp_path / "other.pt")
