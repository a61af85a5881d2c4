"""From a run folder back to its environment and its trained policy."""

from pathlib import Path
from typing import Any

from agents import checkpoint
from experiments import runs
from experiments.algorithms import load_algorithm
from experiments.errors import InputError, as_input_error
from experiments.worlds import EnvChoice, choose, make_batch

WORLDS, OTHERS = 128, 8
"""Environments side by side in an evaluation: of ours, and of Gymnasium's."""


def environment(run_config: runs.RunConfig) -> EnvChoice:
    """The environment that a run was trained on.

    Raises:
        InputError: it is not registered, for want of a `--module` perhaps.
    """
    try:
        return choose(run_config.env_id, run_config.env_options)
    except InputError as error:
        if not run_config.modules:
            raise
        needed = " ".join(f"--module {name}" for name in run_config.modules)
        raise InputError(f"the run needs a module that is only imported if you name it: {needed}") from error


def restore_config(run_config: runs.RunConfig) -> Any:
    """The Config that config.json holds.

    Raises:
        InputError: fields or values that this version doesn't know.
    """
    module = load_algorithm(run_config.algorithm)
    values = {name: tuple(one) if isinstance(one, list) else one for name, one in run_config.config.items()}
    with as_input_error(TypeError, ValueError, prefix="config.json doesn't fit this version: "):
        return module.Config(**values)


def read_checkpoint(path: Path) -> Any:
    """What a checkpoint file holds.

    Raises:
        InputError: it is damaged or no checkpoint.
    """
    with as_input_error(ValueError, FileNotFoundError):
        saved = checkpoint.load(path)
    if not isinstance(saved, dict) or "train" not in saved:
        raise InputError(f"{path} is not a training checkpoint")
    return saved


def load_policy(run_config: runs.RunConfig, path: Path, envs: Any) -> Any:
    """The policy of a checkpoint, made for the spaces of `envs`, on the CPU.

    Raises:
        InputError: the checkpoint doesn't fit.
    """
    module = load_algorithm(run_config.algorithm)
    saved = read_checkpoint(path)
    config = restore_config(run_config)
    policy = module.make_policy(envs, config)
    with as_input_error(
        RuntimeError, KeyError, prefix=f"{path}, of {run_config.env_id}, doesn't fit what it is to play here: "
    ):
        policy.load_state_dict(saved["train"]["policy"])
    return policy.eval()


def evaluation_envs(run_config: runs.RunConfig, episodes: int) -> Any:
    """A batch to evaluate on, no more worlds than episodes; who learned in all seats plays the first team's."""
    choice = EnvChoice(run_config.env_id, run_config.env_options)
    seats = "team" if hasattr(load_algorithm(run_config.algorithm), "SEATS") else (0,)
    return make_batch(choice, min(episodes, WORLDS if choice.is_world else OTHERS), seats=seats)
