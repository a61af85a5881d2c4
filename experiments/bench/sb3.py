"""stable-baselines3 for the benchmarks that stand beside it; nothing else needs it."""

import importlib
from collections.abc import Callable
from typing import Any

from experiments.errors import InputError, install


def load() -> Any:
    """The package.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module("stable_baselines3")
    except ImportError:
        raise InputError(
            f"this benchmark stands beside stable-baselines3, which needs the extra 'sb3': {install('sb3')}"
        ) from None


def vector(env_id: str, num_envs: int, seed: int = 1) -> Any:
    """Environments one after the other in this process, as stable-baselines3 makes them."""
    return importlib.import_module("stable_baselines3.common.env_util").make_vec_env(env_id, num_envs, seed=seed)


def mean_return(model: Any, env_id: str, episodes: int) -> float:
    """The mean over whole episodes of its best actions."""
    evaluation = importlib.import_module("stable_baselines3.common.evaluation")
    return float(evaluation.evaluate_policy(model, vector(env_id, 1), n_eval_episodes=episodes)[0])


def stepper(model: Any, warmup: int) -> Callable[[int], Any]:
    """Trains a model past its first steps; the function given goes on for so many more."""
    model.learn(warmup)
    return lambda steps: model.learn(steps, reset_num_timesteps=False)
