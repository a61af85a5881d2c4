"""Networks that the algorithms share."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh, "relu": torch.relu, "silu": F.silu, "gelu": F.gelu,
}  # fmt: skip

ACTIVATION_BACKWARDS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "tanh": lambda grads, before, after: torch.ops.aten.tanh_backward.grad_input(grads, after, grad_input=grads),
    "relu": lambda grads, before, after: torch.ops.aten.threshold_backward.grad_input(
        grads, after, 0, grad_input=grads
    ),
    "silu": lambda grads, before, after: torch.ops.aten.silu_backward.default(grads, before),
    "gelu": lambda grads, before, after: torch.ops.aten.gelu_backward.default(grads, before),
}
"""A loss's gradients behind an activation, and what came in and went out there -> those before the activation.

What came in is overwritten by what went out where `IN_PLACE` has the activation; the gradients may be overwritten too.
"""

FEW = 4096
"""Numbers of which calls cost more than what is done with them."""


def tanh_(x: Tensor) -> Tensor:
    """tanh in place, right to 1e-7. Of many numbers on a CPU by torch's sigmoid: its tanh is MKL's, which takes five
    times as long on an AMD processor."""
    if x.device.type != "cpu" or x.numel() < FEW:
        return x.tanh_()
    return x.mul_(2).sigmoid_().mul_(2).sub_(1)


def wide(width: int) -> int:
    """The width to which rows of so many numbers are padded for a GPU's matrix products: a multiple of 8, unless they
    are few. Rows of 507 numbers take two to three times as long there as rows of 512."""
    return width - width % -8 if width >= 32 else width


def widened(x: Tensor, dtype: torch.dtype) -> Tensor:
    """`[..., n]` in another type, with zeros behind to be `wide`."""
    width, columns = x.shape[-1], wide(x.shape[-1])
    if width == columns:
        return x.to(dtype)
    found = x.new_empty((*x.shape[:-1], columns), dtype=dtype)  # within a vmap of as many, as x is
    found[..., :width].copy_(x)
    found[..., width:].zero_()
    return found


IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {"tanh": tanh_, "relu": torch.relu_}


def copied(module: nn.Module) -> dict[str, Tensor]:
    """A module's parameters and buffers by name, apart from its own."""
    return {name: value.clone() for name, value in module.state_dict().items()}


def linear(num_inputs: int, num_outputs: int, gain: float = math.sqrt(2)) -> nn.Linear:
    """A linear layer with orthogonal weights of the given gain and zero biases (Saxe et al., arXiv 1312.6120)."""
    layer = nn.Linear(num_inputs, num_outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class MLP(nn.Module):
    """Linear layers with an activation between: `[..., sizes[0]]` -> `[..., sizes[-1]]`.

    Args:
        sizes: widths from the input to the output.
        activation: tanh, relu, silu or gelu.
        gain: of the last layer's orthogonal weights; the others have sqrt(2).

    Raises:
        ValueError: an activation that isn't there, or a layer of no width.
    """

    def __init__(self, sizes: Sequence[int], activation: str = "tanh", gain: float = math.sqrt(2)) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        if min(sizes) < 1:
            raise ValueError(f"layers must be at least 1 wide, got hidden_sizes {tuple(sizes[1:-1])}")
        gains = [math.sqrt(2)] * (len(sizes) - 2) + [gain]
        shapes = zip(sizes[:-1], sizes[1:], gains, strict=True)
        layers = [linear(num_inputs, num_outputs, g) for num_inputs, num_outputs, g in shapes]
        self.layers = nn.ModuleList(layers)
        self.activation, self.activation_backward = ACTIVATIONS[activation], ACTIVATION_BACKWARDS[activation]
        self.activation_ = IN_PLACE.get(activation, self.activation)
        self._weights = [layer._parameters for layer in layers]  # attributes of modules are slow to look up
        self.multiply: Callable[..., Tensor] = F.linear

    def widen(self) -> None:
        """From now on inputs may be `widened`, and products are of `wide` rows."""
        self.multiply = _wide_linear

    def forward(self, x: Tensor) -> Tensor:
        """`[..., sizes[0]]` -> `[..., sizes[-1]]`."""
        *hidden, last = self._weights
        activation = self.activation if torch.is_grad_enabled() else self.activation_
        multiply = self.multiply
        for layer in hidden:
            x = activation(multiply(x, layer["weight"], layer["bias"]))  # pyright: ignore
        return multiply(x, last["weight"], last["bias"])  # pyright: ignore

    def trace(self, x: Tensor) -> "Trace":
        """What `forward` gives for `[B, sizes[0]]`, and what `backward` needs to know of the way there.

        Called without autograd, as is `backward`: see `Features.no_autograd`.
        """
        inputs, outputs = [x], []
        for layer in self._weights:
            if outputs:
                inputs.append(self.activation_(outputs[-1]))
            outputs.append(self.multiply(inputs[-1], layer["weight"], layer["bias"]))  # pyright: ignore
        return Trace(inputs, outputs)

    def backward(
        self, trace: "Trace", grads: Tensor, weights: bool = True, inputs: slice | None = None
    ) -> Tensor | None:
        """The gradients of a loss, by hand: of a small network's update, autograd's own work is the greater part.

        Args:
            trace: of the inputs.
            grads: `[B, sizes[-1]]`, of the loss w.r.t. the outputs.
            weights: write the gradients w.r.t. weights and biases into their `.grad`, over what is there.
            inputs: return the gradients w.r.t. these columns of the inputs, `[B, columns]`.
        """
        for depth in reversed(range(len(self._weights))):
            weight, bias = self._weights[depth]["weight"], self._weights[depth]["bias"]
            assert weight is not None and bias is not None
            if weights:
                _outer(grads, trace.inputs[depth], weight.grad)
                torch.sum(grads, 0, out=bias.grad)
            if depth:
                grads = self.activation_backward(grads.mm(weight), trace.outputs[depth - 1], trace.inputs[depth])
            elif inputs is not None:
                return grads.mm(weight[:, inputs])
        return None


def _wide_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A layer's outputs for `[..., inputs]`, which may be `widened`."""
    outputs, inputs = weight.shape
    columns, rows = x.shape[-1] - inputs, wide(outputs) - outputs
    if not (columns or rows):
        return F.linear(x, weight, bias)
    return F.linear(x, F.pad(weight, (0, columns, 0, rows)), F.pad(bias, (0, rows)))[..., :outputs]


def _outer(grads: Tensor, inputs: Tensor, out: Tensor | None) -> None:
    """Writes the transposed `grads` `[B, n]` times `inputs` `[B, m]` to `out` `[n, m]`; inputs may be `widened`."""
    if out is not None and inputs.shape[1] > out.shape[1]:
        out.copy_(grads.t().mm(inputs)[:, : out.shape[1]])
    elif inputs.shape[1] < 16 <= grads.shape[1] and out is not None:
        out.copy_(inputs.t().mm(grads).t())  # BLAS takes two to six times as long for a result so narrow
    else:
        torch.mm(grads.t(), inputs, out=out)


class Trace(NamedTuple):
    """What came into and out of each linear layer of an `MLP`, `[B, size]` each."""

    inputs: list[Tensor]
    outputs: list[Tensor]

    @property
    def output(self) -> Tensor:
        """The network's, `[B, sizes[-1]]`."""
        return self.outputs[-1]


class Features(nn.Module):
    """Encoded observations `[..., *shape]` -> float32 features `[..., num_features]`; bfloat16 of bfloat16 vectors.

    Vectors pass as they are, grids are flattened, Discretes become one-hot; uint8 images, channels first or last, go
    through the convolutions of Mnih et al. ("Human-level control through deep reinforcement learning", 2015).

    Args:
        space: of one observation, encoded.
        scaled: map what a vector's bounds hold on both sides from there to -1..1.
    """

    center: Tensor | None
    rate: Tensor | None

    def __init__(self, space: spaces.Space, scaled: bool = False) -> None:
        super().__init__()
        shape = tuple(space.shape or ())
        self.num_dims = len(shape)
        self.sizes, self.first = list[int](), [0]
        if isinstance(space, spaces.Discrete):
            self.sizes, self.first = [int(space.n)], [int(space.start)]
        if isinstance(space, spaces.MultiDiscrete):
            self.sizes, self.first = space.nvec.ravel().tolist(), space.start.ravel().tolist()
        self.convolutions = None
        if is_image(space):
            self.channels_last = shape[2] < 36
            self.convolutions = nature_cnn((shape[2], *shape[:2]) if self.channels_last else shape)
            self.num_features = 512
        else:
            self.num_features = sum(self.sizes) if self.sizes else math.prod(shape)
        center, rate = bounds_to_unit(space) if scaled else (None, None)
        self.register_buffer("center", center, persistent=False)
        self.register_buffer("rate", rate, persistent=False)

    def no_autograd(self) -> AbstractContextManager[None]:
        """Within it gradients are worked out by hand, at no cost of autograd's; only `trace` still notes its own."""
        return torch.inference_mode() if self.convolutions is None else torch.no_grad()

    def trace(self, obs: Tensor) -> Tensor:
        """What `forward` gives; where there are convolutions, autograd finds their gradients from it."""
        if self.convolutions is None:
            return self(obs)
        with torch.enable_grad():
            return self(obs)

    def forward(self, obs: Tensor) -> Tensor:
        """`[..., *shape]` -> `[..., num_features]`."""
        if self.center is not None and self.rate is not None:
            return (obs - self.center) * self.rate
        if self.sizes:
            parts = obs.unsqueeze(-1) if self.num_dims == 0 else obs
            pairs = zip(self.sizes, self.first, strict=True)
            hot = [F.one_hot(parts[..., i] - first, size) for i, (size, first) in enumerate(pairs)]
            return torch.cat(hot, dim=-1).float()
        if self.num_dims == 1 and obs.dtype in (torch.float32, torch.bfloat16):
            return obs
        lead = obs.shape[: obs.dim() - self.num_dims]
        if self.convolutions is not None:
            pictures = obs.reshape(-1, *obs.shape[len(lead) :])
            pictures = pictures.permute(0, 3, 1, 2) if self.channels_last else pictures
            return self.convolutions(pictures.float() / 255).reshape(*lead, self.num_features)
        return obs.reshape(*lead, self.num_features).float()


def bounds_to_unit(space: spaces.Space) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """Center and rate, float32 `[d]`, that map a vector's bounds to -1..1; 0 and 1 for bounds millions apart.

    Nothing for anything but a vector of floats.
    """
    if not isinstance(space, spaces.Box) or len(space.shape) != 1 or np.dtype(space.dtype).kind != "f":
        return None, None
    low, high = (torch.as_tensor(bound, dtype=torch.float64) for bound in (space.low, space.high))
    known = (low < high) & (high - low < 1e6)
    center = torch.where(known, (low + high) / 2, 0.0)
    return center.float(), torch.where(known, 2 / (high - low), 1.0).float()


def is_image(space: spaces.Space) -> bool:
    """A stack of uint8 pictures, channels first or last, of 36 x 36 pixels or more."""
    if not isinstance(space, spaces.Box) or str(space.dtype) != "uint8" or len(space.shape) != 3:
        return False
    return min(space.shape[1:]) >= 36 or min(space.shape[:2]) >= 36


def nature_cnn(shape: tuple[int, ...]) -> nn.Sequential:
    """The convolutions of the Nature DQN with a linear layer of 512 on top, for `[channels, height, width]`."""
    layers: list[nn.Module] = []
    channels = shape[0]
    for filters, size, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1)):
        layer = nn.Conv2d(channels, filters, size, stride)
        nn.init.orthogonal_(layer.weight, math.sqrt(2))
        layers += [layer, nn.ReLU()]
        channels = filters
    body = nn.Sequential(*layers, nn.Flatten())
    with torch.no_grad():
        width = body(torch.zeros(1, *shape)).shape[1]
    return nn.Sequential(*body, linear(width, 512), nn.ReLU())
