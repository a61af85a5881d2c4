"""How good a policy is: whole episodes, as many from each env, with an interval for their mean."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.episodes import without_nans
from agents.rollout import Collector

STEP_LIMIT = 30_000
"""Steps after which an episode counts as it stands: some worlds never end while a policy walks in circles."""

T95 = (12.706, 4.303, 3.182, 2.776, 2.571)
"""Two-sided 95% points of Student's t for 1 to 5 degrees of freedom."""


@dataclass(frozen=True)
class Evaluation:
    """Raw returns of finished episodes."""

    episodes: int
    mean: float
    low: float | None
    """Lower end of the 95% interval of the mean (Student's t); None for one episode, of which nothing is known."""
    high: float | None
    min: float
    max: float
    mean_length: float
    cut: int
    """Episodes that had not ended after `STEP_LIMIT` steps."""
    statistics: dict[str, float] = field(default_factory=dict)
    """Means of what else the envs say of an episode, such as "won"."""

    def asdict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        spread = "" if self.low is None or self.high is None else f" ± {(self.high - self.low) / 2:.2f}"
        text = f"{self.mean:.2f}{spread} ({self.min:.2f} to {self.max:.2f}, {self.mean_length:.0f} steps an episode)"
        text += f"; {self.cut} cut after {STEP_LIMIT} steps" if self.cut else ""
        return text + "".join(f"; {name} {value:.3g}" for name, value in self.statistics.items())


@torch.no_grad()
def evaluate(
    policy: Any,
    envs: Any,
    episodes: int,
    *,
    deterministic: bool = True,
    seed: int = 0,
    device: str | torch.device = "cpu",
    step_limit: int = STEP_LIMIT,
) -> Evaluation:
    """Plays whole episodes and sums their raw rewards.

    Each env plays a number of episodes fixed beforehand, equal but for one: counting whichever end first would favour
    short ones. Where the rows are seats, an episode is a whole world's: its return is the mean over the seats.

    Args:
        policy: anything with `act` and `initial_memory`, on `device`.
        envs: a vector env, of torch or NumPy; it is reset with `seed`.
        episodes: how many, all envs together.
        deterministic: the policy's best action, or one drawn from it.
        seed: of the envs and of the drawing.
        device: where the policy is.
        step_limit: steps after which an episode counts as it stands, and its env plays no more.

    Raises:
        ValueError: no episodes.
    """
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {episodes}")
    collector = Collector(envs, device=device, seed=seed)
    collector.memory = policy.initial_memory(envs.num_envs).to(device)
    generator = torch.Generator(device).manual_seed(seed)
    rollout = collector.new_rollout(1)

    def act(obs: Tensor, mask: Tensor | None, memory: Tensor, starts: Tensor) -> tuple[Tensor, Tensor, dict]:
        return *policy.act(obs, mask, memory, starts, deterministic=deterministic, generator=generator), {}

    seats = getattr(envs, "num_seats", 1)
    left = np.repeat(_quotas(episodes, envs.num_envs // seats), seats)
    returns, lengths = np.zeros(envs.num_envs), np.zeros(envs.num_envs, np.int64)
    found: list[tuple[float, int]] = []
    statistics: dict[str, list[float]] = {}
    cut = 0
    while left.any():
        collector.collect(act, rollout)
        valid = rollout.valid[0].cpu().numpy()
        ended = (rollout.terminated[0] | rollout.truncated[0]).cpu().numpy() & valid
        returns += np.where(valid, rollout.rewards[0].cpu().numpy(), 0)
        lengths += valid
        too_long = (lengths >= step_limit) & ~ended & (left > 0)
        for row in np.flatnonzero(((ended | too_long) & (left > 0))[::seats]) * seats:
            found.append((float(returns[row : row + seats].mean()), int(lengths[row])))
        cut += int(too_long[::seats].sum())
        counted = left[ended] > 0
        for name, values in collector.episodes.pop_statistics().items():
            statistics.setdefault(name, []).extend(np.array(values)[counted].tolist())
        left = np.where(too_long, 0, left - (ended & (left > 0)))
        returns[ended], lengths[ended] = 0, 0
    means = {name: float(np.mean(values)) for name, values in without_nans(statistics).items() if values}
    return summarise([value for value, _ in found], [length for _, length in found], cut, means)


def summarise(
    returns: list[float], lengths: list[int], cut: int = 0, statistics: dict[str, float] | None = None
) -> Evaluation:
    """Mean and interval of returns and lengths, one of each an episode, with means of what else is known."""
    mean, half = float(np.mean(returns)), half_width(returns)
    low, high = (None, None) if half is None else (mean - half, mean + half)
    return Evaluation(
        episodes=len(returns),
        mean=mean,
        low=low,
        high=high,
        min=min(returns),
        max=max(returns),
        mean_length=float(np.mean(lengths)),
        cut=cut,
        statistics=statistics or {},
    )


def half_width(values: list[float]) -> float | None:
    """Half the 95% interval of the mean by Student's t; None for a single value."""
    if len(values) < 2:
        return None
    freedom = len(values) - 1
    t = T95[freedom - 1] if freedom <= len(T95) else 1.96 + 2.372 / freedom + 2.82 / freedom**2
    return t * float(np.std(values, ddof=1)) / math.sqrt(len(values))


def _quotas(episodes: int, num_envs: int) -> np.ndarray:
    """Episodes of each env, int64 `[num_envs]`."""
    rows = np.arange(num_envs)
    return episodes // num_envs + (rows < episodes % num_envs)
