"""`quintet evaluate`: how good trained agents are, with an interval."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments import flags, runs
from experiments.errors import InputError, as_input_error, check_seed
from experiments.flags import Modules
from experiments.worlds import EVALUATION_SEED, close, import_modules

Trained = tuple[runs.RunConfig, Path]
"""A run's configuration, and one of its checkpoints."""


@dataclass(frozen=True)
class Options:
    """Evaluates trained agents: their best actions, and actions drawn from their policies.

    Several runs have a line each, or play together as one agent with --ensemble.
    """

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Run folders, names in --runs-dir, or "latest"."""
    ensemble: bool = False
    """The runs, all of one environment, act as one: their action probabilities, action values or, for continuous
    actions, actions are averaged."""
    episodes: int = 100
    """Episodes of each kind."""
    seed: int = EVALUATION_SEED
    """Of the environments and of the drawing."""
    checkpoint: str | None = None
    """A step, a file or "best"; the last one by default."""
    json: bool = False
    """Prints JSON: an object for one run or an ensemble, a list for several runs."""
    runs_dir: str = "runs"
    """Folder of run folders."""
    module: Modules = ()
    """A module of your own that the runs need."""


def main(argv: list[str]) -> int:
    """`quintet evaluate ...`; returns the exit code."""
    options = flags.parse(Options, argv, "quintet evaluate")
    if not options.runs:
        raise InputError("which run? quintet evaluate RUN [RUN ...]")
    if options.episodes < 1:
        raise InputError(f"--episodes must be at least 1, got {options.episodes}")
    check_seed(options.seed)
    folders = [runs.find(name, options.runs_dir) for name in options.runs]
    trained = [(runs.read_config(run), runs.find_checkpoint(run, options.checkpoint)) for run in folders]
    import_modules(options.module)
    if options.ensemble:
        _check_alike(folders, trained)
        _show(options, " + ".join(map(str, folders)), trained, evaluate_agents(trained, options))
    elif len(folders) == 1:
        _show(options, str(folders[0]), trained, evaluate_agents(trained, options))
    else:
        _show_each(options, folders, trained)
    return 0


def _check_alike(folders: list[Path], trained: list[Trained]) -> None:
    first, _ = trained[0]
    for run, (config, _) in zip(folders, trained, strict=True):
        if (config.env_id, config.env_options) != (first.env_id, first.env_options):
            raise InputError(
                f"--ensemble needs runs of one environment; {folders[0]} is of {_environment(first)}, "
                f"{run} of {_environment(config)}"
            )


def _environment(config: runs.RunConfig) -> str:
    return config.env_id + "".join(f" {name}={value}" for name, value in config.env_options.items())


def _show(options: Options, name: str, trained: list[Trained], results: dict[str, Any]) -> None:
    """Prints what one agent reached."""
    config, path = trained[0]
    if options.json:
        print(json.dumps(_as_json(name, trained, results), indent=2))
        return
    what = f"ensemble of {len(trained)}" if options.ensemble else f"{config.algorithm}"
    which = "" if options.ensemble else f", {path.name}"
    print(f"{what} on {config.env_id}{which}, {options.episodes} episodes of each kind")
    for kind, result in results.items():
        print(f"  {kind:<14} {result}")
    print("  (mean ± half the 95% interval of the mean; least to greatest return)")


def _show_each(options: Options, folders: list[Path], trained: list[Trained]) -> None:
    """Prints a line for each run as it is known."""
    if not options.json:
        print(f"best actions / drawn actions, mean return ± half its 95% interval, {options.episodes} episodes of each")
    found = []
    for run, one in zip(folders, trained, strict=True):
        results = evaluate_agents([one], options)
        found.append(_as_json(str(run), [one], results))
        if not options.json:
            cells = [_short(result) for result in results.values()]
            print(f"  {cells[0]:>18} / {cells[1]:<18}  {run}, {one[1].name}", flush=True)
    if options.json:
        print(json.dumps(found, indent=2))


def _short(result: Any) -> str:
    return f"{result.mean:.2f}" + ("" if result.low is None else f" ± {(result.high - result.low) / 2:.2f}")


def _as_json(name: str, trained: list[Trained], results: dict[str, Any]) -> dict[str, Any]:
    config, path = trained[0]
    shown = {kind: result.asdict() for kind, result in results.items()}
    members = {"checkpoints": [str(path) for _, path in trained]} if len(trained) > 1 else {"checkpoint": path.name}
    return {"run": name, **members, "env_id": config.env_id, **shown}


def evaluate_agents(trained: list[Trained], options: Options) -> dict[str, Any]:
    """Deterministic and stochastic `agents.evaluate.Evaluation` of a checkpoint, or of several together, by name."""
    import torch

    from agents.ensemble import Ensemble
    from agents.evaluate import evaluate
    from agents.rollout import EnvError
    from experiments.trained import environment, evaluation_envs, load_policy

    config, _ = trained[0]
    environment(config)
    torch.set_num_threads(1)
    envs = evaluation_envs(config, options.episodes)
    policy: Any = [load_policy(its_config, path, envs) for its_config, path in trained]
    with as_input_error(ValueError):
        policy = Ensemble(policy, envs.single_action_space) if options.ensemble else policy[0]
    with as_input_error(EnvError, prefix=f"{config.env_id} broke down: "):
        results = {
            name: evaluate(policy, envs, options.episodes, deterministic=name == "deterministic", seed=options.seed)
            for name in ("deterministic", "stochastic")
        }
    close(envs)
    return results
