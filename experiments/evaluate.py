"""`quintet evaluate`: how good a trained agent is, with an interval."""

import json
from dataclasses import dataclass

from experiments import flags, runs
from experiments.errors import InputError
from experiments.flags import Modules
from experiments.worlds import EVALUATION_SEED, import_modules


@dataclass(frozen=True)
class Options:
    """Evaluates a trained agent: its best actions, and actions drawn from its policy."""

    run: flags.Run
    """Run folder, a name in --runs-dir, or "latest"."""
    episodes: int = 100
    """Episodes of each kind."""
    seed: int = EVALUATION_SEED
    """Of the environments and of the drawing."""
    checkpoint: str | None = None
    """A step, a file or "best"; the last one by default."""
    json: bool = False
    """Prints JSON."""
    runs_dir: str = "runs"
    """Folder of run folders."""
    module: Modules = ()
    """A module of your own that the run needs."""


def main(argv: list[str]) -> int:
    """`quintet evaluate ...`; returns the exit code."""
    options = flags.parse(Options, argv, "quintet evaluate")
    if options.episodes < 1:
        raise InputError(f"--episodes must be at least 1, got {options.episodes}")
    run = runs.find(options.run, options.runs_dir)
    run_config, path = runs.read_config(run), runs.find_checkpoint(run, options.checkpoint)
    results = evaluate_run(run_config, path, options)
    if options.json:
        shown = {name: result.asdict() for name, result in results.items()}
        print(json.dumps({"run": str(run), "checkpoint": path.name, "env_id": run_config.env_id, **shown}, indent=2))
    else:
        print(f"{run_config.algorithm} on {run_config.env_id}, {path.name}, {options.episodes} episodes of each kind")
        for name, result in results.items():
            print(f"  {name:<14} {result}")
        print("  (mean ± half the 95% interval of the mean; least to greatest return)")
    return 0


def evaluate_run(run_config: runs.RunConfig, path: runs.Path, options: Options) -> dict:
    """Deterministic and stochastic evaluation of a checkpoint, by name."""
    import torch

    from agents.evaluate import evaluate
    from experiments.trained import environment, evaluation_envs, load_policy

    import_modules(options.module)
    environment(run_config)
    torch.set_num_threads(1)
    envs = evaluation_envs(run_config, options.episodes)
    policy = load_policy(run_config, path, envs)
    results = {
        name: evaluate(policy, envs, options.episodes, deterministic=name == "deterministic", seed=options.seed)
        for name in ("deterministic", "stochastic")
    }
    envs.close()
    return results
