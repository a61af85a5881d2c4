"""`quintet surgery RUN --to CONFIG`: a run with a larger network, or for a world that shows and takes more."""

import copy
import math
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from envs.registration import did_you_mean
from experiments import flags, runs
from experiments.algorithms import load_algorithm, preset
from experiments.errors import InputError, as_input_error
from experiments.flags import Modules
from experiments.train_flags import values_of
from experiments.trained import environment, load_policy, read_checkpoint, restore_config
from experiments.worlds import EVALUATION_SEED, import_modules, make_batch

FITTING = ("ppo", "league")
CHECKED_STEPS, CHECKED_WORLDS = 64, 8
"""Of the games in which both policies are asked."""
ALIKE = 1e-3
"""The largest difference that is rounding's."""

USAGE = """usage: quintet surgery RUN [--to CONFIG] [flags] [--env.KEY VALUE ...]

Makes a run that goes on from another with a larger network, or in a world that shows and takes more. At first it acts
as the old one did, which is checked in games. A league's past versions come along; worlds begin anew, in one process.

CONFIG is a TOML file of what changes: fields of the algorithm's Config, and options of the environment under [env]; or
the name of a preset. Flags and --env.KEY come over it.

What can change the network: wider hidden_sizes, entity_size and memory_size (of LSTM and GRU), more hidden layers
behind a relu, team_size from 1, new columns of observations (told apart by the names in the env's obs_layout, new ones
of a field behind its old ones), new choices of actions behind the old ones. New choices are hardly ever tried until
--new-choices is raised.

examples:
  quintet surgery latest --hidden-sizes 256 256 --entity-size 64
  quintet surgery runs/quintet-Duel-v0__league__1__... --env.shopping policy --new-choices -5
  quintet surgery latest --to larger.toml --total-timesteps 96000000

`quintet surgery RUN --help` lists every flag with the value that it has in the run."""


@dataclass(frozen=True)
class Options:
    """What to operate on, and how."""

    run: flags.Run
    """Run folder, a name in --runs-dir, or "latest"."""
    to: str = ""
    """TOML file of what changes, or the name of a preset."""
    new_choices: Annotated[float, tyro.conf.arg(metavar="LOGIT")] = -20.0
    """How far below the mean of the old ones the logits of new choices begin: with -20 others lose about 1e-9 of their
    probability, and new ones are practically never tried; with -5 each has some 0.7 percent of a usual one's."""
    checkpoint: str | None = None
    """A step or a file; the last one by default."""
    module: Modules = ()
    """A module of your own that the run needs."""
    runs_dir: str = "runs"
    """Folder of run folders, the new one's too."""


def main(argv: list[str]) -> int:
    """`quintet surgery ...`; returns the exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    if argv[0].startswith("-"):
        raise InputError(f"the run comes first: quintet surgery RUN ..., got {argv[0]}")
    options, run, before, after = parse(argv)
    if not math.isfinite(options.new_choices):
        raise InputError(f"--new-choices must be a finite number, got {options.new_choices}")
    path = runs.find_checkpoint(run, options.checkpoint)
    saved = read_checkpoint(path)["train"]
    if "optimizer" not in saved:
        raise InputError(
            f"{path} holds a policy without what training needs; give a checkpoint of a step, of the run itself"
        )
    operate(run, path, before, after, saved, options)
    return 0


def parse(argv: list[str]) -> tuple[Options, Path, runs.RunConfig, runs.RunConfig]:
    """Options, the run, its configuration and the new one's.

    Raises:
        InputError: what doesn't exist or doesn't fit.
    """
    env_options, words = flags.split_env_options(argv)
    import_modules(values_of("--module", words))
    run = runs.find(words[0], (values_of("--runs-dir", words) or ["runs"])[-1])
    before = runs.read_config(run)
    if before.algorithm not in FITTING:
        raise InputError(f"surgery is for {' and '.join(FITTING)}, and this run is of {before.algorithm}; train anew")
    changes = read_changes((values_of("--to", words) or [""])[-1], before.algorithm)
    env_options = before.env_options | changes.pop("env", {}) | env_options
    start = restore_config(replace(before, config=before.config | _known(changes, before)))
    prog = f"quintet surgery {words[0]}"
    options, config = flags.parse_with_config(Options, start, words, prog, "Defaults are the run's.")
    after = replace(
        before, config=asdict(config), env_options=env_options, versions=runs.versions(), commit=runs.commit()
    )
    environment(after)
    return options, run, before, after


def read_changes(name: str, algorithm: str) -> dict[str, Any]:
    """What a TOML file says, or a preset.

    Raises:
        InputError: there is none, or it is not TOML.
    """
    if not name:
        return {}
    if not Path(name).exists() and (found := preset(algorithm, f"preset {name}")):
        return found
    try:
        return tomllib.loads(Path(name).read_text())
    except OSError as error:
        raise InputError(f"--to {name}: {error.strerror}; give a TOML file of what changes, or a preset") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"--to {name} is not TOML: {error}") from None


def _known(changes: dict[str, Any], before: runs.RunConfig) -> dict[str, Any]:
    """The changes, if the algorithm has fields for them."""
    config = restore_config(before)
    known = [field.name for field in fields(config)]
    for name, value in changes.items():
        if name not in known:
            raise InputError(f"{before.algorithm} has no field {name!r}{did_you_mean(name, known)}")
        is_list = isinstance(getattr(config, name), tuple)
        if is_list != isinstance(value, list | tuple):
            raise InputError(f"{name} takes {'a list' if is_list else 'one value'}, got {value!r}")
    return changes


def operate(run: Path, path: Path, before: runs.RunConfig, after: runs.RunConfig, saved: Any, options: Options) -> Path:
    """Makes the new run; returns its folder. Nothing is written before all is known to fit."""
    from agents import surgery
    from experiments import train

    with as_input_error(ValueError):
        surgery.check_configs(restore_config(before), restore_config(after))
    seats = getattr(load_algorithm(before.algorithm), "SEATS", (0,))
    with closing(make_batch(environment(before), 1, seats=seats)) as old_envs:
        old, layout = load_policy(before, path, old_envs), getattr(old_envs, "obs_layout", None)
    envs, state = train.prepare(after, restore_config(after))
    learner = getattr(state, "ppo", state)
    layouts = layout, getattr(envs, "obs_layout", None)
    fresh = copy.deepcopy(learner.policy).cpu()
    new = copy.deepcopy(fresh)
    with as_input_error(ValueError):
        surgery.grow(old, new, *layouts, options.new_choices)
        pool = list(_grown_pool(run, saved, old, fresh, layouts, options))
    told = compare(old, new, after, seats, layouts, options.new_choices)
    _take_over(learner, old, new, saved, layouts)
    new_run = runs.create(options.runs_dir, after)
    if learner is not state:
        _take_over_league(state, saved, new_run, pool, same_games=before.env_options == after.env_options)
    for name in ("metrics.csv", "timings.csv"):
        if (run / name).exists():
            shutil.copy(run / name, new_run / name)
    train.save(new_run, state)
    runs.write_config(new_run, after)  # now it is a run
    envs.close()
    sizes = [sum(parameter.numel() for parameter in policy.parameters()) for policy in (old, new)]
    print(f"{run}: {sizes[0]:,} parameters\n{new_run}: {sizes[1]:,} parameters, after {learner.global_step:,} steps")
    print(told)
    longer = f" --total-timesteps {2 * learner.global_step}"
    done = learner.global_step >= after.config["total_timesteps"]
    print(f"go on with: quintet train --resume {runs.words(new_run)}{longer if done else ''}")
    return new_run


def _grown_pool(
    run: Path, saved: Any, old: Any, fresh: Any, layouts: tuple[Any, Any], options: Options
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and weights of a league's past versions."""
    from agents import checkpoint, surgery

    for member in saved.get("pool", []):
        path = run / "pool" / f"{member['name']}.safetensors"
        if member["stays"]:
            continue
        past, grown = copy.deepcopy(old), copy.deepcopy(fresh)
        with as_input_error(FileNotFoundError, KeyError, RuntimeError, prefix=f"{path} can't be converted: "):
            past.load_state_dict(checkpoint.load(path)["policy"])
        surgery.grow(past, grown, *layouts, options.new_choices)
        yield member["name"], grown.state_dict()


def compare(old: Any, new: Any, after: runs.RunConfig, seats: Any, layouts: tuple[Any, Any], new_choices: float) -> str:
    """Asks both policies in games of the new one, which must make no difference; tells what was found.

    Raises:
        InputError: they differ.
    """
    import torch

    from agents.rollout import Collector
    from agents.surgery_check import differences

    old, new = copy.deepcopy(old), copy.deepcopy(new)
    old.bfloat16 = new.bfloat16 = False
    count = min(CHECKED_WORLDS, after.config["num_envs"])
    with closing(make_batch(environment(after), count, "sync", EVALUATION_SEED, seats)) as envs:
        collector = Collector(envs, seed=EVALUATION_SEED)
        collector.memory = new.initial_memory(envs.num_envs)
        rollout, generator = collector.new_rollout(CHECKED_STEPS), torch.Generator().manual_seed(EVALUATION_SEED)
        collector.collect(lambda *seen: (*new.act(*seen, generator=generator), {}), rollout)
        mask = None if rollout.action_mask is None else rollout.action_mask[:-1]
        found = differences(old, new, rollout.obs[:-1], mask, rollout.starts[:-1], *layouts)
    listed = ", ".join(f"{name.replace('_', '-')} by {value:.1e}" for name, value in found.items())
    if max(found.values()) > ALIKE and new_choices <= -15:
        raise InputError(f"the new network does not act as the old one did: {listed}; please report it")
    return f"in {CHECKED_STEPS} steps of {envs.num_envs} players old and new differ at most: {listed}"


def _take_over(learner: Any, old: Any, new: Any, saved: Any, layouts: tuple[Any, Any]) -> None:
    """Gives a new learner the old one's policy, moments, statistics and place in the run."""
    from agents import surgery

    learner.policy.load_state_dict(new.state_dict())
    for power, name in enumerate(("exp_avg", "exp_avg_sq"), start=1):
        moments = surgery.grow_moments(old, new, saved["optimizer"][name], *layouts, power)
        getattr(learner.optimizer, name).copy_(moments)
    learner.optimizer.steps.copy_(saved["optimizer"]["steps"])
    learner.optimizer.learning_rate = saved["optimizer"]["learning_rate"]
    scale = {name: value for name, value in saved["reward_scale"].items() if name != "returns"}
    learner.reward_scale.load_state_dict(scale, strict=False)
    if learner.novelty is not None:
        print("note: with rnd_coef, what has been seen begins anew")
    learner.generator.set_state(saved["generator"])
    learner.global_step = int(saved["global_step"])


def _take_over_league(
    state: Any, saved: Any, new_run: Path, pool: list[tuple[str, dict[str, Any]]], same_games: bool
) -> None:
    """A league's past versions and what it knows of them; ratings of the references are of the world they were made in.

    Scripted players are the new configuration's.
    """
    from agents import checkpoint
    from experiments.ratings import Rating

    state.use_folder(new_run)
    for name, weights in pool:
        checkpoint.save(new_run / "pool" / f"{name}.safetensors", {"policy": weights})
    begun = {one.name: one for one in state.pool.members}
    state.pool.load_state_dict([one for one in saved["pool"] if not one["stays"] or one["name"] in begun])
    known = {one.name for one in state.pool.members}
    state.pool.members += [one for name, one in begun.items() if name not in known]
    state.generator.set_state(saved["league_generator"])
    state.next_snapshot, state.next_rating = int(saved["next_snapshot"]), int(saved["next_rating"])
    state.next_draw = state.global_step
    if same_games:
        state.references = {name: Rating(*rating) for name, rating in saved["references"].items()}
