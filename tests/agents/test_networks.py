"""Gradients by hand are those that autograd finds."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents import dqn
from agents.encoding import Encoder
from agents.networks import ACTIVATIONS, MLP, Features, wide, widened
from agents.optimizer import flatten_parameters


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [(3, 2), (3, 8, 2), (3, 8, 5, 4), (3, 100, 4)])
def test_gradients_by_hand_are_autograd_s(sizes: tuple[int, ...], activation: str) -> None:
    torch.manual_seed(0)
    network = MLP(sizes, activation)
    flat = flatten_parameters([network])
    x, grads = torch.randn(16, 3).requires_grad_(), torch.randn(16, sizes[-1])
    output = network(x)
    output.backward(grads)
    assert flat.grad is not None
    expected = flat.grad.clone()
    flat.grad.fill_(7)
    with torch.no_grad():
        trace = network.trace(x)
        assert torch.equal(trace.output, output)
        assert network.backward(trace, grads) is None
        assert torch.allclose(flat.grad, expected, atol=1e-5)
        flat.grad.fill_(7)
        by_inputs = network.backward(trace, grads, weights=False, inputs=slice(1, 3))
    assert by_inputs is not None and x.grad is not None and torch.allclose(by_inputs, x.grad[:, 1:], atol=1e-5)
    assert (flat.grad == 7).all()


def test_wide_rows_change_neither_outputs_nor_gradients() -> None:
    torch.manual_seed(0)
    network = MLP((35, 41, 64, 42))
    flat = flatten_parameters([network])
    x, grads = torch.randn(16, 35), torch.randn(16, 42)
    expected = network(x)
    expected.backward(grads)
    assert flat.grad is not None
    gradient = flat.grad.clone()
    network.widen()
    rows = widened(x, torch.float32)
    assert rows.shape == (16, 40) and torch.equal(rows[:, :35], x) and (rows[:, 35:] == 0).all()
    flat.grad.zero_()
    found = network(rows)
    found.backward(grads)
    assert torch.allclose(found, expected, atol=1e-6) and torch.allclose(flat.grad, gradient, atol=1e-5)
    flat.grad.fill_(7)
    with torch.no_grad():
        trace = network.trace(rows)
        network.backward(trace, grads)
    assert torch.allclose(trace.output, expected, atol=1e-6) and torch.allclose(flat.grad, gradient, atol=1e-5)


def test_few_columns_stay_as_they_are() -> None:
    assert [wide(width) for width in (4, 31, 32, 33, 507, 512)] == [4, 31, 32, 40, 512, 512]
    assert widened(torch.zeros(2, 31), torch.bfloat16).shape == (2, 31)


@pytest.mark.parametrize("settings", [{}, {"dueling": True}, {"dueling": True, "head": "quantile", "num_atoms": 5}])
@pytest.mark.parametrize("space", [spaces.Box(-1, 1, (3,)), spaces.Box(0, 255, (40, 40, 2), np.uint8)])
def test_a_value_network_s_gradients_are_autograd_s(space: spaces.Box, settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    policy = dqn.Policy(space, spaces.Discrete(4), dqn.Config(hidden_sizes=(8,), **settings))
    flat = flatten_parameters([policy])
    obs = torch.as_tensor(space.sample()).unsqueeze(0).repeat(6, *[1] * len(space.shape))
    with policy.features.no_autograd():
        outputs, traces = policy.trace(obs)
        grads = torch.randn_like(outputs)
        policy.backward(traces, grads)
    assert flat.grad is not None
    found = flat.grad.clone()
    flat.grad.zero_()
    again = policy.outputs(obs)
    again.backward(grads)
    assert torch.allclose(again, outputs, atol=1e-6) and torch.allclose(flat.grad, found, atol=1e-5)


def test_bounds_become_one_where_they_are_known() -> None:
    low, high = np.array([-1.2, -np.inf, -3e38, 2.0], np.float32), np.array([0.6, 1.0, 3e38, 4.0], np.float32)
    features = Features(spaces.Box(low, high), scaled=True)
    seen = features(torch.tensor([[-1.2, 7.0, 8.0, 2.0], [0.6, -7.0, -8.0, 4.0], [-0.3, 0.0, 0.0, 3.0]]))
    expected = [[-1.0, 7.0, 8.0, -1.0], [1.0, -7.0, -8.0, 1.0], [0.0, 0.0, 0.0, 0.0]]
    assert torch.allclose(seen, torch.tensor(expected), atol=1e-6)
    assert not features.state_dict()


def test_grids_are_not_scaled() -> None:
    one_hot = Features(spaces.Discrete(3), scaled=True)(torch.tensor([2]))
    assert one_hot.tolist() == [[0.0, 0.0, 1.0]]


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.int16])
def test_bounds_of_other_numbers_are_known_too(dtype: Any) -> None:
    space = Encoder(spaces.Box(0, 10, (2,), dtype)).space
    assert Features(space, scaled=True)(torch.tensor([[0.0, 10.0]])).tolist() == [[-1.0, 1.0]]
    endless = Encoder(spaces.Box(-np.inf, np.inf, (2,), np.float64)).space
    assert Features(endless, scaled=True)(torch.tensor([[0.0, 10.0]])).tolist() == [[0.0, 10.0]]
