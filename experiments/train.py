"""`quintet train`: from an algorithm, an id and flags to a run folder with a trained agent in it."""

import signal
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any

from experiments import flags, runs
from experiments.algorithms import ALGORITHMS, load_algorithm
from experiments.best import Judge, best_of
from experiments.errors import InputError, as_input_error
from experiments.log import RunLog
from experiments.progress import ProgressLine
from experiments.train_flags import Options, ResumeOptions, parse
from experiments.worlds import EVALUATION_SEED, EnvChoice, import_modules, make_batch

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


def main(argv: list[str]) -> int:
    """`quintet train ...`; returns the exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    if "--resume" in argv:
        argv = [word for word in argv if word != "--resume"]
        return resume(flags.parse(ResumeOptions, argv, "quintet train --resume"))
    return _with_next(*start(*parse(argv)))


def start(options: Options, algorithm: str, choice: EnvChoice, config: Any) -> tuple[Path, int]:
    """Trains from the beginning; returns the run folder and the exit code.

    Raises:
        InputError: the environment can't be made, it or the algorithm's fields don't suit the algorithm, or there is
            not enough memory; there is no run folder then.
    """
    run_config = plan(algorithm, choice, config, options)
    envs, state = prepare(run_config, config)
    run = runs.create(options.runs_dir, run_config)
    print(f"training {algorithm} on {choice.id} into {run}", flush=True)
    return run, train(run, run_config, config, envs, state, options)


def prepare(run_config: runs.RunConfig, config: Any) -> tuple[Any, Any]:
    """The batch to learn from, and a state that has learned nothing yet."""
    import torch

    from agents.rollout import EnvError

    torch.set_num_threads(run_config.threads)
    envs = _environments(run_config, config)
    with as_input_error(ValueError, EnvError, prefix=f"{run_config.env_id}: "):
        state = load_algorithm(run_config.algorithm).TrainState(envs, config, device=run_config.device)
    if replay := getattr(state, "replay", None):
        print(f"replay of {replay.capacity:,} transitions: {replay.num_bytes / 2**20:,.1f} MiB when full", flush=True)
    return envs, state


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
    counts = ("checkpoint_every", "eval_every", "eval_episodes", "threads")
    for name, value in {"seed": config.seed, **{name: getattr(options, name) for name in counts}}.items():
        if value < 0:
            raise InputError(f"--{name.replace('_', '-')} must be at least 0, got {value}")
    if options.eval_every and not options.eval_episodes:
        raise InputError("--eval-every needs episodes: give --eval-episodes 1 or more")
    return runs.RunConfig(
        algorithm=algorithm,
        env_id=choice.id,
        env_options=choice.options,
        config=asdict(config),
        device=_device(options.device),
        vectorization=options.vectorization,
        threads=options.threads or _threads(config.num_envs),
        checkpoint_every=every,
        eval_every=options.eval_every,
        eval_episodes=options.eval_episodes,
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
    envs, state = prepare(run_config, config)
    runs.write_config(run, run_config)
    print(f"resuming {run} after {step:,} steps", flush=True)
    if step and not choice.is_world:
        print(NOT_SAVED.format(choice.id))
    return _with_next(run, train(run, run_config, config, envs, state, options, saved))


def train(
    run: Path,
    run_config: runs.RunConfig,
    config: Any,
    envs: Any,
    state: Any,
    options: Options | ResumeOptions,
    saved: Any = None,
) -> int:
    """Trains into a run folder, from the beginning or from a checkpoint, and tells what came of it; closes `envs`.

    Returns:
        the exit code: 0 when it is complete, 128 + the signal's number when a signal stopped it.
    """
    from agents.rollout import EnvError

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
    episodes = run_config.eval_episodes if options.eval_episodes is None else options.eval_episodes
    if episodes:
        told = as_input_error(EnvError, prefix=f"{run_config.env_id} broke down while the agent was evaluated: ")
        with closing(Judge(run, run_config, episodes, EVALUATION_SEED)) as judge, told:
            print(f"evaluated return over {episodes} episodes: {judge.evaluate(state.policy)}")
    if best := best_of(run):
        print(f"best while it learned: {best['mean']:.2f} after {best['step']:,} steps (--checkpoint best)")
    return 0


def _loop(
    run: Path, run_config: runs.RunConfig, config: Any, envs: Any, state: Any, resumed: bool, stop_at: float | None
) -> int:
    """Iterations until the end, a return or a signal; returns the signal's number or 0. A checkpoint is the last."""
    learn = load_algorithm(run_config.algorithm).learn
    last = state.global_step
    log = RunLog(run, last if resumed else None)
    judge = Judge(run, run_config, run_config.eval_episodes)
    progress = ProgressLine(config.total_timesteps, last)
    recent: deque[float] = deque(maxlen=5)
    try:
        with _signals() as received:
            for metrics in learn(envs, config, state):
                step = state.global_step
                metrics = metrics | judge.look(state, last)
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
        judge.close()
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


def _with_next(run: Path, exit_code: int) -> int:
    """Names the commands to go on with, after a run that is complete."""
    if exit_code == 0:
        module = "".join(f" --module {name}" for name in runs.read_config(run).modules)
        print(f"next:\n  quintet play {run}{module}\n  quintet evaluate {run}{module}")
        print(f"  tensorboard --logdir {run.parent}")
    return exit_code
