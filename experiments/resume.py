"""`quintet train --resume`: from a run folder to the training program as it was when it stopped."""

from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from agents import distributed
from experiments import runs, train
from experiments.errors import InputError, as_input_error
from experiments.train_flags import ResumeOptions
from experiments.trained import environment, read_checkpoint, restore_config
from experiments.worlds import import_modules

NOT_SAVED = """note: {} can't save its own state, so its episodes begin anew and the run will differ from an unbroken
one; policy, optimiser, normalisers, schedules and random state go on."""


def resume(options: ResumeOptions) -> int:
    """`quintet train --resume RUN`; returns the exit code."""
    distributed.together(lambda: import_modules(options.module))
    with ExitStack() as alone:
        return _go_on(options, *distributed.from_first(lambda: _last(options, alone)))


def _go_on(options: ResumeOptions, run: Path, run_config: runs.RunConfig, config: Any, saved: Any) -> int:
    step = saved["train"]["global_step"] if saved else 0
    choice = distributed.together(lambda: environment(run_config))
    trained = f"{run} was trained on a GPU"
    distributed.together(lambda: train.device_of(run_config.device, trained, "go on where there is one"))
    envs, state = distributed.together(lambda: train.prepare(run_config, config))
    print(f"resuming {run} after {step:,} steps", flush=True)
    if step and not choice.is_world:
        print(NOT_SAVED.format(choice.id))
    return train.with_next(run, train.train(run, run_config, config, envs, state, options, saved))


def _logged(run: Path) -> int:
    """Steps of the last row but one of its log; if a checkpoint was due there, it had been saved."""
    path = run / "metrics.csv"
    rows = runs.Table.read(path)[1] if path.is_file() else []
    return int(rows[-2]["step"]) if len(rows) > 1 else 0


def _last(options: ResumeOptions, alone: ExitStack) -> tuple[Path, runs.RunConfig, Any, Any]:
    """A run to go on with: its folder, its configuration as it is from now on, and its last checkpoint or None.

    Nobody else trains it until `alone` is closed.
    """
    run = runs.find(options.run, options.runs_dir)
    alone.enter_context(runs.alone(run))
    runs.remove_drafts(run)
    run_config = runs.read_config(run)
    config = restore_config(run_config)
    if options.total_timesteps is not None and options.total_timesteps < 1:
        raise InputError(f"--total-timesteps must be at least 1, got {options.total_timesteps}")
    if options.eval_episodes is not None and options.eval_episodes < 0:
        raise InputError(f"--eval-episodes must be at least 0, got {options.eval_episodes}")
    if options.total_timesteps is not None:
        config = replace(config, total_timesteps=options.total_timesteps)
        run_config = replace(run_config, config=asdict(config))
    saved = read_checkpoint(runs.find_checkpoint(run)) if runs.checkpoints(run) else None
    if saved is None and (logged := _logged(run)) >= max(1, run_config.checkpoint_every):
        raise InputError(f"{run} has learned for {logged:,} steps, but its checkpoints are gone; train anew")
    (run / "checkpoints").mkdir(exist_ok=True)
    if saved and "global_step" not in saved["train"]:
        raise InputError(f"{run} holds a policy without what training needs; it can't be gone on with")
    step = saved["train"]["global_step"] if saved else 0
    if saved:
        with as_input_error(ValueError, prefix=f"the last checkpoint of {run} doesn't fit: "):
            distributed.own(saved["train"])
    if step >= config.total_timesteps:
        longer = f"--total-timesteps {2 * max(step, config.total_timesteps)}"
        raise InputError(f"{run} is complete: {step:,} of {config.total_timesteps:,} steps; train longer with {longer}")
    return run, run_config, config, saved
