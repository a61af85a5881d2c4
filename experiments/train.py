"""`quintet train`: from an algorithm, an id and flags to a run folder with a trained agent in it."""

import itertools
import signal
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal

import tyro

from envs.registration import did_you_mean
from experiments import flags, runs
from experiments.algorithms import ALGORITHMS, load_algorithm, preset
from experiments.errors import InputError, as_input_error
from experiments.flags import Modules
from experiments.log import RunLog
from experiments.progress import ProgressLine
from experiments.worlds import EVALUATION_SEED, EnvChoice, choose, env_options, import_modules, make_batch

MANY_ENVS = 256
NOT_SAVED = """note: {} can't save its own state, so its episodes begin anew and the run will differ from an unbroken
one; policy, optimiser, normalisers, schedules and random state go on."""

USAGE = f"""usage: quintet train ALGORITHM ENV_ID [flags] [--env.KEY VALUE ...]
       quintet train --resume RUN

Trains an agent and leaves a run folder: settings, metrics, checkpoints, a TensorBoard log.

algorithms:
{chr(10).join(f"  {name:<6} {text}" for name, (_, text) in ALGORITHMS.items())}

examples:
  quintet train ppo quintet/CartPole-v1
  quintet train q quintet/GridWorld-v0 --env.level cliff --seed 3
  quintet train ppo Acrobot-v1 --total-timesteps 200000 --num-envs 16

`quintet train ALGORITHM ENV_ID --help` lists every flag with the value that it has for this environment;
`quintet envs` lists environments; `quintet train --resume --help` tells how to go on with a run."""


@dataclass(frozen=True)
class Options:
    """How to run, whatever the algorithm."""

    preset: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A named set of fields in presets/, over those for the environment: "--preset classic" is DQN as it first was."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the networks are; auto: CUDA if there is a device."""
    runs_dir: str = "runs"
    """Folder that the run folder is made in."""
    module: Modules = ()
    """A module of your own that registers environments; imported from the current folder."""
    vectorization: Literal["sync", "async"] = "sync"
    """Gymnasium's environments one after the other, or each in a process; worlds of quintet need neither."""
    threads: int = 0
    """CPU threads; 0: one for fewer than 256 environments, else one a core."""
    checkpoint_every: int = 0
    """Steps between checkpoints; 0: a tenth of the run."""
    stop_at_return: float | None = None
    """Stop early, once the mean return of the last 5 iterations that had one reaches this."""
    eval_episodes: int = 20
    """Episodes that the trained agent is evaluated on at the end; 0 for none."""


@dataclass(frozen=True)
class ResumeOptions:
    """Goes on with a run from its last checkpoint."""

    run: flags.Run
    """Run folder, a name in --runs-dir, or "latest"."""
    total_timesteps: int | None = None
    """Train until here, if longer (or shorter) than the run was meant to be."""
    runs_dir: str = "runs"
    """Folder of run folders."""
    module: Modules = ()
    """A module of your own that the run needs."""
    stop_at_return: float | None = None
    """Stop early, once the mean return of the last 5 iterations that had one reaches this."""
    eval_episodes: int = 20
    """Episodes that the trained agent is evaluated on at the end; 0 for none."""


def main(argv: list[str]) -> int:
    """`quintet train ...`; returns the exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    if "--resume" in argv:
        argv = [word for word in argv if word != "--resume"]
        return resume(flags.parse(ResumeOptions, argv, "quintet train --resume"))
    return _with_next(*start(*parse(argv)))


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
    settings = _preset(module, algorithm, env_id, choice.options if choice else {}, _values_of("--preset", rest))
    options, config = _parse_flags(module.Config(**settings), rest, algorithm, env_id)
    assert choice is not None
    if prefix and prefix != "envs":
        options = replace(options, module=(*options.module, prefix))
    return options, algorithm, choice, config


def _modules(words: list[str]) -> list[str]:
    """What --module names, read before the flags are, since the environment may come from there."""
    return _values_of("--module", words)


def _values_of(flag: str, words: list[str]) -> list[str]:
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


def _parse_flags(default: Any, words: list[str], algorithm: str, env_id: str) -> tuple[Options, Any]:
    kind = type(default)

    def both(config: Any = default, options: Any = Options()) -> tuple[Options, Any]:
        return options, config

    flat = tyro.conf.arg(name="")
    both.__annotations__ = {"config": Annotated[kind, flat], "options": Annotated[Options, flat]}
    return flags.parse(both, words, f"quintet train {algorithm} {env_id or 'ENV_ID'}", _description(algorithm, env_id))


def _description(algorithm: str, env_id: str) -> str:
    """What stands above the flags in the help of an algorithm and an environment."""
    text = f"{ALGORITHMS[algorithm][1]}. Defaults are those for {env_id or 'an environment without a preset'}."
    if not env_id:
        return f"{text}\nThe environment's own options are --env.KEY VALUE; `quintet envs ENV_ID` explains them."
    options = [f"--env.{name.replace('_', '-')}" for name in env_options(env_id)[0]]
    if not options:
        return f"{text}\n{env_id} has no options of its own."
    return f"{text}\nIts own options, which `quintet envs {env_id}` explains: {' '.join(options)}"


def start(options: Options, algorithm: str, choice: EnvChoice, config: Any) -> tuple[Path, int]:
    """Trains from the beginning; returns the run folder and the exit code.

    Raises:
        InputError: the environment can't be made, or its spaces don't suit the algorithm; there is no run folder then.
    """
    run_config = plan(algorithm, choice, config, options)
    envs = _environments(run_config, config)
    run = runs.create(options.runs_dir, run_config)
    print(f"training {algorithm} on {choice.id} into {run}", flush=True)
    return run, train(run, run_config, config, envs, options)


def _environments(run_config: runs.RunConfig, config: Any) -> Any:
    """The batch to learn from, its spaces checked."""
    choice = EnvChoice(run_config.env_id, run_config.env_options)
    module = load_algorithm(run_config.algorithm)
    seats = getattr(module, "SEATS", (0,))
    envs = make_batch(choice, config.num_envs, run_config.vectorization, config.seed, seats)
    try:
        _check(module, envs)
    except ValueError as error:
        fitting = ", ".join(name for name in ALGORITHMS if _fits(name, envs)) or "none of this version's"
        raise InputError(f"{run_config.env_id}: {error}\nalgorithms that fit: {fitting}") from error
    return envs


def _check(module: Any, envs: Any) -> None:
    module.check_spaces(envs.single_observation_space, envs.single_action_space)
    if hasattr(module, "check_envs"):
        module.check_envs(envs)


def _fits(algorithm: str, envs: Any) -> bool:
    """Whether an algorithm is there and takes the environments."""
    try:
        _check(load_algorithm(algorithm), envs)
    except (InputError, ValueError):
        return False
    return True


def plan(algorithm: str, choice: EnvChoice, config: Any, options: Options) -> runs.RunConfig:
    """What config.json will hold, with everything automatic decided."""
    every = options.checkpoint_every or max(1, config.total_timesteps // 10)
    return runs.RunConfig(
        algorithm=algorithm,
        env_id=choice.id,
        env_options=choice.options,
        config=asdict(config),
        device=_device(options.device),
        vectorization=options.vectorization,
        threads=options.threads or _threads(config.num_envs),
        checkpoint_every=every,
        modules=list(options.module),
        versions=runs.versions(),
        commit=runs.commit(),
    )


def _device(name: str) -> str:
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch finds no CUDA device; use --device cpu")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def _threads(num_envs: int) -> int:
    import torch

    return 1 if num_envs < MANY_ENVS else torch.get_num_threads()


def resume(options: ResumeOptions) -> int:
    """`quintet train --resume RUN`; returns the exit code."""
    from experiments.trained import environment, read_checkpoint, restore_config

    run = runs.find(options.run, options.runs_dir)
    run_config = runs.read_config(run)
    import_modules(options.module)
    choice = environment(run_config)
    config = restore_config(run_config)
    if options.total_timesteps is not None:
        config = replace(config, total_timesteps=options.total_timesteps)
        run_config = replace(run_config, config=asdict(config))
    saved = read_checkpoint(runs.find_checkpoint(run)) if runs.checkpoints(run) else None
    step = saved["train"]["global_step"] if saved else 0
    if step >= config.total_timesteps:
        longer = f"--total-timesteps {2 * config.total_timesteps}"
        raise InputError(f"{run} is complete: {step:,} of {config.total_timesteps:,} steps; train longer with {longer}")
    _device(run_config.device)
    envs = _environments(run_config, config)
    runs.write_config(run, run_config)
    print(f"resuming {run} after {step:,} steps", flush=True)
    if step and not choice.is_world:
        print(NOT_SAVED.format(choice.id))
    return _with_next(run, train(run, run_config, config, envs, options, saved))


def train(
    run: Path,
    run_config: runs.RunConfig,
    config: Any,
    envs: Any,
    options: Options | ResumeOptions,
    saved: Any = None,
) -> int:
    """Trains into a run folder, from the beginning or from a checkpoint, and tells what came of it; closes `envs`.

    Returns:
        the exit code: 0 when it is complete, 128 + the signal's number when a signal stopped it.
    """
    import torch

    torch.set_num_threads(run_config.threads)
    with as_input_error(ValueError):
        from agents.rollout import EnvError

    with as_input_error(ValueError, EnvError, prefix=f"{run_config.env_id}: "):
        state = load_algorithm(run_config.algorithm).TrainState(envs, config, device=run_config.device)
    if replay := getattr(state, "replay", None):
        print(f"replay of {replay.capacity:,} transitions: {replay.num_bytes / 2**20:,.1f} MiB when full", flush=True)
    if hasattr(state, "use_folder"):
        state.use_folder(run)
    if saved is not None:
        with as_input_error(ValueError, RuntimeError, KeyError, prefix="the checkpoint doesn't fit: "):
            state.load_state_dict(saved["train"])
    try:
        stopped_by = _loop(run, run_config, config, envs, state, saved is not None, options.stop_at_return)
    except EnvError as error:
        path = save(run, state)
        raise InputError(
            f"{run_config.env_id} broke down after {state.global_step:,} steps: {error}\n"
            f"what was learned is in {path}; once the environment is mended, go on with: quintet train --resume {run} "
            "(QUINTET_DEBUG=1 shows where it broke)"
        ) from error
    envs.close()
    if stopped_by:
        name = signal.Signals(stopped_by).name
        print(f"stopped by {name} after {state.global_step:,} steps; go on with: quintet train --resume {run}")
        return 128 + stopped_by
    if options.eval_episodes:
        _evaluate(run_config, state, options.eval_episodes)
    return 0


def _loop(
    run: Path, run_config: runs.RunConfig, config: Any, envs: Any, state: Any, resumed: bool, stop_at: float | None
) -> int:
    """Iterations until the end, a return or a signal; returns the signal's number or 0. A checkpoint is the last."""
    learn = load_algorithm(run_config.algorithm).learn
    last = state.global_step
    log = RunLog(run, last if resumed else None)
    progress = ProgressLine(config.total_timesteps, last)
    recent: deque[float] = deque(maxlen=5)
    try:
        with _signals() as received:
            for metrics in learn(envs, config, state):
                step = state.global_step
                progress.update(step, metrics)
                log.write(step, metrics, progress.speed())
                due = step // run_config.checkpoint_every > last // run_config.checkpoint_every
                last = step
                if due or received:
                    save(run, state)
                recent.extend([metrics["charts/episodic_return"]] if "charts/episodic_return" in metrics else [])
                good = stop_at is not None and len(recent) == recent.maxlen and sum(recent) / len(recent) >= stop_at
                if received or good:
                    break
            if not received:
                save(run, state)
    finally:
        progress.close()
        log.close()
    complete = state.global_step >= config.total_timesteps
    return 0 if complete or not received else received[0]


def save(run: Path, state: Any) -> Path:
    """Writes the checkpoint of the current step, if it is not there yet."""
    from agents import checkpoint

    path = runs.checkpoint_path(run, state.global_step)
    if not path.exists():
        checkpoint.save(path, {"train": state.state_dict()})
    return path


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Notes SIGINT and SIGTERM in a list, to be acted on between iterations; a second Ctrl-C stops at once."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _evaluate(run_config: runs.RunConfig, state: Any, episodes: int) -> None:
    """Prints what the agent reaches in environments of its own."""
    from agents.evaluate import evaluate
    from experiments.trained import evaluation_envs

    envs = evaluation_envs(run_config, episodes)
    result = evaluate(state.policy, envs, episodes, seed=EVALUATION_SEED, device=run_config.device)
    envs.close()
    print(f"evaluated return over {episodes} episodes: {result}")


def _with_next(run: Path, exit_code: int) -> int:
    """Names the commands to go on with, after a run that is complete."""
    if exit_code == 0:
        module = "".join(f" --module {name}" for name in runs.read_config(run).modules)
        print(f"next:\n  quintet play {run}{module}\n  quintet evaluate {run}{module}")
        print(f"  tensorboard --logdir {run.parent}")
    return exit_code
