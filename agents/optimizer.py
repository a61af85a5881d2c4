"""Adam over one flat parameter: a handful of calls a step, whatever the number of layers.

For small networks most of an update's time is the overhead of calls, and an optimiser that walks a list of parameters
makes most of them. So does torch.optim's own way to its fused kernel, which is called here at once.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def flatten_parameters(modules: Iterable[nn.Module]) -> nn.Parameter:
    """Lays the parameters of modules, and their gradients, side by side in one; the modules' own become its views.

    Gradients are cleared by `flat.grad.zero_()`, never by setting them to None; modules move to their device before.
    """
    parameters = [parameter for module in modules for parameter in module.parameters()]
    flat = nn.Parameter(torch.cat([parameter.detach().flatten() for parameter in parameters]))
    flat.grad = torch.zeros_like(flat)
    start = 0
    for parameter in parameters:
        stop = start + parameter.numel()
        parameter.data = flat.data[start:stop].view_as(parameter)
        parameter.grad = flat.grad[start:stop].view_as(parameter)
        start = stop
    return flat


class FlatAdam:
    """Adam (Kingma and Ba, arXiv 1412.6980), with weight decay apart from the gradient (AdamW: Loshchilov and Hutter,
    arXiv 1711.05101), on the parameters of modules laid flat, with torch's fused kernel.

    Args:
        modules: what to optimise; see `flatten_parameters`.
        learning_rate: may be changed at any time.
        eps: added to the root of the second moment.
        betas: decay of the first and second moment.
        weight_decay: share of every parameter, times the learning rate, that is taken away each step.
    """

    def __init__(
        self,
        modules: Iterable[nn.Module],
        learning_rate: float,
        eps: float = 1e-8,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
    ) -> None:
        self.flat = flatten_parameters(modules)
        self._values = self.flat.detach()
        assert self.flat.grad is not None
        self.grad: Tensor = self.flat.grad
        self.eps, self.betas, self.weight_decay = eps, betas, weight_decay
        on_gpu = self.flat.device.type == "cuda"  # where a recorded step reads it anew
        self._learning_rate: Any = torch.zeros((), device=self.flat.device) if on_gpu else 0.0
        self.learning_rate = learning_rate
        self.steps = torch.zeros((), device=self.flat.device)
        self.exp_avg, self.exp_avg_sq = torch.zeros_like(self.grad), torch.zeros_like(self.grad)

    @property
    def learning_rate(self) -> float:
        """The step size."""
        return float(self._learning_rate)

    @learning_rate.setter
    def learning_rate(self, number: Any) -> None:
        if not isinstance(self._learning_rate, Tensor):
            self._learning_rate = number
        elif isinstance(number, Tensor):
            self._learning_rate.copy_(number)
        else:
            self._learning_rate.fill_(number)

    def zero_grad(self) -> None:
        """Clears all gradients."""
        self.grad.zero_()

    def step(self, max_grad_norm: float = 0.0) -> None:
        """One step along the gradients, first shortened to `max_grad_norm` where they are longer; 0 leaves them."""
        scale = (torch.linalg.vector_norm(self.grad) / max_grad_norm).clamp_(min=1) if max_grad_norm else None
        self.steps += 1
        torch._fused_adamw_(  # pyright: ignore[reportPrivateImportUsage]
            [self._values], [self.grad], [self.exp_avg], [self.exp_avg_sq], [], [self.steps],
            lr=self._learning_rate, beta1=self.betas[0], beta2=self.betas[1], weight_decay=self.weight_decay,
            eps=self.eps, amsgrad=False, maximize=False, grad_scale=scale,
        )  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """The moments, flat, and the number of steps."""
        return {
            "exp_avg": self.exp_avg.clone(), "exp_avg_sq": self.exp_avg_sq.clone(), "steps": self.steps.clone(),
            "learning_rate": self.learning_rate,
        }  # fmt: skip

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave."""
        for name in ("exp_avg", "exp_avg_sq", "steps"):
            getattr(self, name).copy_(saved[name])
        self.learning_rate = float(saved["learning_rate"])
