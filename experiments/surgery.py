"""`quintet surgery RUN --to CONFIG`: a run with a larger network, or for a world that shows and takes more."""

import shutil
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from envs.registration import did_you_mean
from experiments import flags, runs
from experiments.errors import InputError, as_input_error
from experiments.trained import environment, load_policy, read_checkpoint, restore_config
from experiments.worlds import import_modules, make_batch

FITTING = ("ppo", "league")


@dataclass(frozen=True)
class Options:
    """Makes a run that goes on from another with a larger network, which at first acts as the old one did.

    CONFIG is a TOML file: fields of the algorithm's Config that change, and options of the environment under [env]:

      hidden_sizes = [256, 256]
      entity_size = 64
      [env]
      shopping = "policy"

    Past versions in a league's pool are converted too. Worlds begin anew. Then: quintet train --resume NEW_RUN.
    """

    run: flags.Run
    """Run folder, a name in --runs-dir, or "latest"."""
    to: str
    """TOML file of what changes."""
    checkpoint: str | None = None
    """A step or a file; the last one by default."""
    module: tuple[str, ...] = ()
    """A module of your own that the run needs."""
    runs_dir: str = "runs"
    """Folder of run folders, the new one's too."""


def main(argv: list[str]) -> int:
    """`quintet surgery ...`; returns the exit code."""
    options = flags.parse(Options, argv, "quintet surgery")
    import_modules(options.module)
    run = runs.find(options.run, options.runs_dir)
    before = runs.read_config(run)
    after = changed(before, read_changes(options.to))
    saved = read_checkpoint(runs.find_checkpoint(run, options.checkpoint))["train"]
    if "optimizer" not in saved:
        raise InputError(f"{run} holds a policy alone, without what training needs; surgery goes on with a training")
    operate(run, before, after, saved, options.runs_dir)
    return 0


def read_changes(name: str) -> dict[str, Any]:
    """The table of a TOML file.

    Raises:
        InputError: there is none, or it is not TOML.
    """
    try:
        return tomllib.loads(Path(name).read_text())
    except OSError as error:
        raise InputError(f"--to {name}: {error.strerror}; give a TOML file of what changes") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"--to {name} is not TOML: {error}") from None


def changed(before: runs.RunConfig, changes: dict[str, Any]) -> runs.RunConfig:
    """A run's configuration with the changes.

    Raises:
        InputError: an algorithm without surgery, a field or option that doesn't exist, or a value it doesn't take.
    """
    if before.algorithm not in FITTING:
        raise InputError(f"surgery is for {' and '.join(FITTING)}, and this run is of {before.algorithm}; train anew")
    env_options = changes.pop("env", {})
    known = [field.name for field in fields(restore_config(before))]
    for name in changes:
        if name not in known:
            raise InputError(f"{before.algorithm} has no field {name!r}{did_you_mean(name, known)}")
    after = replace(before, config=before.config | changes, env_options=before.env_options | env_options)
    environment(after)
    return replace(after, config=asdict(restore_config(after)))


def operate(run: Path, before: runs.RunConfig, after: runs.RunConfig, saved: Any, runs_dir: str) -> Path:
    """Makes the new run; returns its folder."""
    from experiments import train

    old_envs = make_batch(environment(before), 1, seats="all")
    old = load_policy(before, runs.checkpoints(run)[-1], old_envs)
    old.load_state_dict(saved["policy"])
    with as_input_error(ValueError):
        envs, state = train.prepare(after, restore_config(after))
    learner = getattr(state, "ppo", state)
    layouts = getattr(old_envs, "obs_layout", None), getattr(envs, "obs_layout", None)
    sizes = [sum(parameter.numel() for parameter in policy.parameters()) for policy in (old, learner.policy)]
    with as_input_error(ValueError):
        fresh = {name: value.clone() for name, value in learner.policy.state_dict().items()}
        take_over(learner, old, saved, layouts)
        new_run = runs.create(runs_dir, after)
        if learner is not state:
            convert_pool(run, new_run, state, old, fresh, saved, layouts)
    for name in ("metrics.csv", "timings.csv"):
        if (run / name).exists():
            shutil.copy(run / name, new_run / name)
    train.save(new_run, state)
    print(f"{run}: {sizes[0]:,} parameters; {new_run}: {sizes[1]:,}, after {learner.global_step:,} steps")
    print(f"it acts as before; go on with: quintet train --resume {new_run}")
    return new_run


def take_over(learner: Any, old: Any, saved: Any, layouts: tuple[Any, Any]) -> None:
    """Gives a new learner the old one's policy, moments, statistics and place in the run."""
    from agents import surgery

    surgery.grow(old, learner.policy, *layouts)
    for name in ("exp_avg", "exp_avg_sq"):
        moments = surgery.grow_moments(old, learner.policy, saved["optimizer"][name], *layouts)
        getattr(learner.optimizer, name).copy_(moments)
    learner.optimizer.steps.copy_(saved["optimizer"]["steps"])
    learner.optimizer.learning_rate = saved["optimizer"]["learning_rate"]
    scale = learner.reward_scale.state_dict()
    if all(scale[name].shape == value.shape for name, value in saved["reward_scale"].items()):
        learner.reward_scale.load_state_dict(saved["reward_scale"])
    learner.generator.set_state(saved["generator"])
    learner.global_step = int(saved["global_step"])


def convert_pool(
    run: Path, new_run: Path, state: Any, old: Any, fresh: dict[str, Any], saved: Any, layouts: tuple[Any, Any]
) -> None:
    """A league's past versions, its ratings and what it does next."""
    import copy

    from agents import checkpoint, surgery
    from experiments.ratings import Rating

    state.use_folder(new_run)
    state.pool.load_state_dict(saved["pool"])
    state.generator.set_state(saved["league_generator"])
    state.next_snapshot, state.next_rating = int(saved["next_snapshot"]), int(saved["next_rating"])
    state.references = {name: Rating(*rating) for name, rating in saved["references"].items()}
    past, grown = copy.deepcopy(old), copy.deepcopy(state.policy)
    for member in state.pool.members:
        if member.stays:
            continue
        past.load_state_dict(checkpoint.load(run / "pool" / f"{member.name}.safetensors")["policy"])
        grown.load_state_dict(fresh)
        surgery.grow(past, grown, *layouts)
        checkpoint.save(new_run / "pool" / f"{member.name}.safetensors", {"policy": grown.state_dict()})
