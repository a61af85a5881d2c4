"""The command line of `quintet train`: presets under flags, and what the flags are."""

import itertools
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal

import tyro

from envs.registration import did_you_mean
from experiments import flags
from experiments.algorithms import ALGORITHMS, load_algorithm, preset
from experiments.errors import InputError
from experiments.flags import Modules
from experiments.worlds import EnvChoice, choose, env_options, import_modules


@dataclass(frozen=True)
class Options:
    """How to run, whatever the algorithm."""

    preset: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A named set of fields in presets/, over those for the environment: "--preset classic" is the original DQN."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the networks are; auto: CUDA where there is such a device."""
    runs_dir: str = "runs"
    """Folder in which the run folder is made."""
    module: Modules = ()
    """A module of your own that registers environments; imported from the current folder."""
    vectorization: Literal["sync", "async"] = "sync"
    """Gymnasium's environments: one after the other in this process, or a process for each;
    Quintet's own worlds need neither."""
    threads: int = 0
    """CPU threads; 0: one for fewer than 256 environments, else one per core."""
    checkpoint_every: int = 0
    """Steps between checkpoints; 0: a tenth of the run."""
    stop_at_return: float | None = None
    """Stop early once the mean return of the last 5 iterations in which episodes ended reaches this."""
    eval_episodes: int = 20
    """Episodes per evaluation, at the end and by --eval-every; 0: none."""
    eval_every: int = 0
    """Steps between evaluations during training, in environments of their own; 0: never.
    The best agent is kept as checkpoints/best.safetensors."""


@dataclass(frozen=True)
class ResumeOptions:
    """Goes on with a run from its last checkpoint."""

    run: flags.Run
    """Run folder, a name in --runs-dir, or "latest"."""
    total_timesteps: int | None = None
    """Train up to this many steps, more or fewer than the run was started with."""
    runs_dir: str = "runs"
    """Folder of the run folders."""
    module: Modules = ()
    """A module of your own that the run needs."""
    stop_at_return: float | None = None
    """Stop early once the mean return of the last 5 iterations in which episodes ended reaches this; inf: never.
    By default as the run was started with."""
    eval_episodes: int | None = None
    """Episodes of the evaluation at the end, 0 for none; by default as the run was started with."""


def parse(argv: list[str]) -> tuple[Options, str, EnvChoice, Any]:
    """Options, algorithm, environment and Config of a command line.

    Raises:
        InputError: what doesn't exist or doesn't fit.
    """
    given, words = flags.split_env_options(argv)
    algorithm = words[0]
    if algorithm.startswith("-"):
        raise InputError(f"the algorithm comes first: quintet train {'|'.join(ALGORITHMS)} ENV_ID ..., got {algorithm}")
    module = load_algorithm(algorithm)
    has_id = len(words) > 1 and not words[1].startswith("-")
    if not has_id and not {"-h", "--help"} & set(words):
        raise InputError(f"which environment? quintet train {algorithm} ENV_ID ...; `quintet envs` lists them")
    env_id, rest = (words[1], words[2:]) if has_id else ("", words[1:])
    prefix, _, env_id = env_id.rpartition(":")
    import_modules([*_modules(rest), *([prefix] if prefix else [])])
    choice = choose(env_id, given) if has_id else None
    settings = _preset(module, algorithm, env_id, choice.options if choice else {}, values_of("--preset", rest))
    prog, text = f"quintet train {algorithm} {env_id or 'ENV_ID'}", _description(algorithm, env_id)
    options, config = flags.parse_with_config(Options, module.Config(**settings), rest, prog, text)
    assert choice is not None
    if prefix and prefix != "envs":
        options = replace(options, module=(*options.module, prefix))
    return options, algorithm, choice, config


def _modules(words: list[str]) -> list[str]:
    """What --module names, read before the flags are, since the environment may come from there."""
    return values_of("--module", words)


def values_of(flag: str, words: list[str]) -> list[str]:
    """What a flag is given in a command line, each time."""
    named = [after for word, after in itertools.pairwise(words) if word == flag]
    return named + [word.partition("=")[2] for word in words if word.startswith(f"{flag}=")]


def _preset(module: Any, algorithm: str, env_id: str, env_options: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Fields for an environment, and over them those of the presets that --preset names."""
    values = preset(algorithm, env_id, env_options)
    for name in names:
        more = preset(algorithm, f"preset {name}")
        if not more:
            raise InputError(f'--preset {name}: presets/{algorithm}.toml has no section ["preset {name}"]')
        values |= more
    known = {one.name for one in fields(module.Config)}
    for name in values:
        if name not in known:
            raise ValueError(f"presets/{algorithm}.toml: {env_id} has no field {name!r}{did_you_mean(name, known)}")
    return values


def _description(algorithm: str, env_id: str) -> str:
    """What stands above the flags in the help of an algorithm and an environment."""
    text = f"{ALGORITHMS[algorithm][1]}. Defaults are those for {env_id or 'an environment without a preset'}."
    if not env_id:
        return f"{text}\nThe environment's own options are --env.KEY VALUE; `quintet envs ENV_ID` explains them."
    options = [f"--env.{name.replace('_', '-')}" for name in env_options(env_id)[0]]
    if not options:
        return f"{text}\n{env_id} has no options of its own."
    return f"{text}\nIts own options, which `quintet envs {env_id}` explains: {' '.join(options)}"
