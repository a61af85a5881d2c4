"""`quintet train`: from an algorithm, an id and flags to a run folder with a trained agent in it.

Under `torchrun` the same in several processes: each has its share of the environments, the first one writes and shows.
"""

import importlib.util
import math
import os
import shlex
import signal
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any

from experiments import flags, runs
from experiments.algorithms import ALGORITHMS, load_algorithm
from experiments.best import Judge, best_of
from experiments.errors import UNWRITABLE, InputError, as_input_error
from experiments.log import RunLog
from experiments.progress import ProgressLine
from experiments.train_flags import Options, ResumeOptions, parse
from experiments.worlds import EVALUATION_SEED, EnvChoice, close, make_batch

MANY_ENVS, MOST_THREADS = 256, 1024
RECENT = 5
"""Iterations whose returns --stop-at-return looks at."""
IN_PROCESSES = ("ppo", "league")
"""Algorithms that learn in several processes."""

USAGE = f"""usage: quintet train ALGORITHM ENV_ID [flags] [--env.KEY VALUE ...]
       quintet train --resume RUN

Trains an agent and leaves a run folder: settings, metrics, checkpoints, a TensorBoard log.
In several processes: torchrun --nproc-per-node 2 -m experiments.cli train ...

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
    with _joined() as together:
        if "--resume" in argv:
            argv = [word for word in argv if word != "--resume"]
            options = together(lambda: flags.parse(ResumeOptions, argv, "quintet train --resume"))
            return importlib.import_module("experiments.resume").resume(options)
        return with_next(*start(*together(lambda: parse(argv))))


@contextmanager
def _joined() -> Iterator[Any]:
    """Inside, this process is one of a run, where torchrun started several; gives `agents.distributed.together`."""
    if os.environ.get("WORLD_SIZE", "1") in ("", "1"):
        yield lambda make: make()
        return
    from agents import distributed

    with as_input_error(distributed.Refused):
        distributed.join()
    try:
        yield distributed.together
    except distributed.Lost as error:
        raise InputError(f"{error}; start all of them again") from error


def start(options: Options, algorithm: str, choice: EnvChoice, config: Any) -> tuple[Path, int]:
    """Trains from the beginning; returns the run folder and the exit code.

    Raises:
        InputError: the environment can't be made, it or the algorithm's fields don't suit the algorithm, or there is
            not enough memory; there is no run folder then.
    """
    from agents import distributed

    run_config = distributed.together(lambda: plan(algorithm, choice, config, options))
    envs, state = distributed.together(lambda: prepare(run_config, config))
    run = distributed.from_first(lambda: runs.create(options.runs_dir, run_config))
    print(f"training {algorithm} on {choice.id} into {run}", flush=True)
    with runs.alone(run) if distributed.rank() == 0 else nullcontext():
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
    from agents import distributed

    choice = EnvChoice(run_config.env_id, run_config.env_options)
    module = load_algorithm(run_config.algorithm)
    seats, count = getattr(module, "SEATS", (0,)), _share(run_config, config)
    first = distributed.rank() * count
    place = _worlds_device(choice, run_config, module)
    envs = make_batch(choice, count, run_config.vectorization, config.seed, seats, first, place)
    try:
        _check(module, envs)
    except ValueError as error:
        fitting = ", ".join(name for name in ALGORITHMS if _fits(name, envs)) or "none"
        raise InputError(f"{run_config.env_id}: {error}\nalgorithms that fit: {fitting}") from error
    return envs


def _worlds_device(choice: EnvChoice, run_config: runs.RunConfig, module: Any) -> str:
    """Where worlds are stepped, or to where others send: where the learner is, if it can learn from them there."""
    if run_config.device == "cpu" or not hasattr(module.Config, "cuda_graphs"):
        return "cpu"
    if choice.is_world and importlib.util.find_spec("numba_cuda") is None:
        print("the worlds are stepped on the CPU; for the GPU: pip install 'quintet[cuda]'", flush=True)
        return "cpu"
    return run_config.device


def _share(run_config: runs.RunConfig, config: Any) -> int:
    """How many of the environments are this process's."""
    from agents import distributed

    count = distributed.size()
    if count > 1 and run_config.algorithm not in IN_PROCESSES:
        able = " and ".join(IN_PROCESSES)
        raise InputError(f"{run_config.algorithm} learns in one process, {able} in several; start it without torchrun")
    if config.num_envs % count:
        raise InputError(f"--num-envs {config.num_envs} does not divide among {count} processes; give a multiple")
    if count > 1:
        with as_input_error(ValueError, prefix=f"of each of {count} processes: "):
            replace(config, num_envs=config.num_envs // count)
    return config.num_envs // count


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
    if options.threads > MOST_THREADS:
        raise InputError(f"--threads {options.threads}: a thread per core is enough; give {MOST_THREADS} at most")
    if config.seed >= 2**63:
        raise InputError(f"--seed must lie in 0..{2**63 - 1}, got {config.seed}")
    if options.stop_at_return is not None and math.isnan(options.stop_at_return):
        raise InputError("--stop-at-return must be a number, got nan")
    if getattr(config, "learning_starts", 0) >= config.total_timesteps:
        raise InputError(
            f"nothing would be learned: --learning-starts {config.learning_starts} is not before the end, "
            f"--total-timesteps {config.total_timesteps}; lower the one or raise the other"
        )
    if options.eval_every and not options.eval_episodes:
        raise InputError("--eval-every needs episodes: give --eval-episodes 1 or more")
    return runs.RunConfig(
        algorithm=algorithm,
        env_id=choice.id,
        env_options=choice.options,
        config=asdict(config),
        device=device_of(options.device),
        vectorization=options.vectorization,
        threads=options.threads or _threads(config.num_envs),
        checkpoint_every=every,
        eval_every=options.eval_every,
        eval_episodes=options.eval_episodes,
        stop_at_return=options.stop_at_return,
        modules=list(options.module),
        versions=runs.versions(),
        commit=runs.commit(),
    )


def device_of(name: str, asked: str = "--device cuda", remedy: str = "use --device cpu") -> str:
    """What "auto", "cpu" or "cuda" is here.

    Raises:
        InputError: there is no CUDA device; it says who `asked` for one, and the remedy.
    """
    import torch

    from agents import distributed

    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(f"{asked}: torch finds no CUDA device; {remedy}")
    name = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    if name == "cuda" and distributed.size() > 1:
        with as_input_error(distributed.Refused):
            distributed.take_device()
    return name


def _threads(num_envs: int) -> int:
    import torch

    return 1 if num_envs < MANY_ENVS else torch.get_num_threads()


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

    The caller holds that nobody else trains the run; config.json is written when all is known to fit.

    Returns:
        the exit code: 0 when it is complete, 128 + the signal's number when a signal stopped it.
    """
    from agents import distributed

    first = distributed.rank() == 0
    if first and hasattr(state, "use_folder"):
        state.use_folder(run)
    if saved is not None:
        with as_input_error(ValueError, RuntimeError, KeyError, prefix="the checkpoint doesn't fit: "):
            state.load_state_dict(saved["train"])
    if first:
        runs.write_config(run, run_config)
    stop_at = run_config.stop_at_return if options.stop_at_return is None else options.stop_at_return
    try:
        with _failures_told(run, run_config, state):
            stopped_by = _loop(run, run_config, config, envs, state, saved is not None, stop_at)
    except KeyboardInterrupt:
        print(
            f"interrupted after {state.global_step:,} steps; go on from the last checkpoint with: {_again(run)}",
            file=sys.stderr,
        )
        return 130
    close(envs)
    if stopped_by:
        name = signal.Signals(stopped_by).name
        print(f"stopped by {name} after {state.global_step:,} steps; go on with: {_again(run)}")
        return 128 + stopped_by
    if first:
        _judge(run, run_config, state, options.eval_episodes)
    return 0


@contextmanager
def _failures_told(run: Path, run_config: runs.RunConfig, state: Any) -> Iterator[None]:
    """Says of what ends a run before its time how far it came, what is kept, and how to go on."""
    from agents import distributed
    from agents.rollout import Diverged, EnvError

    try:
        yield
    except Diverged as error:
        raise InputError(
            f"training went astray: after {state.global_step:,} steps {error}\n"
            "the last checkpoint is of before; a lower --learning-rate, in a new run, or normalised observations may "
            "help"
        ) from error
    except EnvError as error:
        kept = save(run, state) if distributed.size() == 1 else "the last checkpoint"
        raise InputError(
            f"{run_config.env_id} broke down after {state.global_step:,} steps: {error}\n"
            f"what was learned is in {kept}; once the environment is mended, go on with: {_again(run)} "
            "(QUINTET_DEBUG=1 shows where it broke)"
        ) from error
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise InputError(
            f"{run} can't be written to after {state.global_step:,} steps: {error.strerror}\n"
            f"make it possible, then go on from the last checkpoint with: {_again(run)}"
        ) from error
    except distributed.Lost as error:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's; this process ends by itself
        raise InputError(
            f"{error}\nall end after {state.global_step:,} steps; go on from the last checkpoint with: {_again(run)}"
        ) from error


def _judge(run: Path, run_config: runs.RunConfig, state: Any, episodes: int | None) -> None:
    """Evaluates what was trained, over `episodes` or as the run was started with, and names the best of the run."""
    from agents.rollout import EnvError

    episodes = run_config.eval_episodes if episodes is None else episodes
    if episodes:
        told = as_input_error(EnvError, prefix=f"{run_config.env_id} broke down while the agent was evaluated: ")
        with closing(Judge(run, run_config, episodes, EVALUATION_SEED)) as judge, told:
            print(f"evaluated return over {episodes} episodes: {judge.evaluate(state.policy)}")
    if best := best_of(run):
        print(f"best while it learned: {best['mean']:.2f} after {best['step']:,} steps (--checkpoint best)")


def _again(run: Path) -> str:
    """The command that goes on with a run."""
    from agents import distributed

    count = distributed.size()
    start = "quintet" if count == 1 else f"torchrun --nproc-per-node {count} -m experiments.cli"
    return f"{start} train --resume {runs.words(run)}"


def _loop(
    run: Path, run_config: runs.RunConfig, config: Any, envs: Any, state: Any, resumed: bool, stop_at: float | None
) -> int:
    """Iterations until the end, a return or a signal; returns the signal's number or 0. A checkpoint is the last."""
    from agents import distributed

    learn, first = load_algorithm(run_config.algorithm).learn, distributed.rank() == 0
    last, stop = state.global_step, 0
    log = RunLog(run, last if resumed else None) if first else None
    judge = Judge(run, run_config, run_config.eval_episodes)
    progress = ProgressLine(config.total_timesteps, last)
    recent = deque(runs.returns(run, last)[-RECENT:] if resumed and stop_at is not None else [], maxlen=RECENT)
    try:
        with _signals() as received:
            for metrics in learn(envs, config, state):
                step = state.global_step
                _check_losses(metrics)
                metrics = metrics | (judge.look(state, last) if first else {})
                progress.update(step, metrics)
                if log is not None:
                    log.write(step, metrics, progress.speed())
                stop = distributed.most(received[0] if received else 0)
                due = step // run_config.checkpoint_every > last // run_config.checkpoint_every
                last = step
                if due or stop:
                    save(run, state)
                recent.extend([metrics["charts/episodic_return"]] if "charts/episodic_return" in metrics else [])
                good = stop_at is not None and len(recent) == recent.maxlen and sum(recent) / len(recent) >= stop_at
                if stop or good:
                    break
            if not stop:
                save(run, state)
    finally:
        progress.close()
        if log is not None:
            log.close()
        judge.close()
    complete = state.global_step >= config.total_timesteps
    return 0 if complete else stop


def _check_losses(metrics: dict[str, float]) -> None:
    from agents.rollout import Diverged

    for name, value in metrics.items():
        if name.startswith("losses/") and not math.isfinite(value):
            raise Diverged(f"{name} is {value}")


def save(run: Path, state: Any) -> Path:
    """Writes the checkpoint of the current step, if it is not there yet; all ranks call it, the first one writes."""
    from agents import checkpoint, distributed

    path = runs.checkpoint_path(run, state.global_step)
    if not distributed.most(path.exists()):
        content = {"train": state.state_dict()}
        if distributed.rank() == 0:
            checkpoint.save(path, content)
    return path


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Notes SIGINT, SIGTERM and a closed terminal's SIGHUP in a list, to be acted on between iterations; a second
    Ctrl-C stops at once."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)
        if number == signal.SIGINT:
            os.write(2, b"\nstopping after this iteration; Ctrl-C again: at once, without a checkpoint\n")

    kinds = [signal.SIGINT, signal.SIGTERM]
    if (hangup := getattr(signal, "SIGHUP", None)) and signal.getsignal(hangup) != signal.SIG_IGN:  # else: nohup
        kinds.append(hangup)
    before = {number: signal.signal(number, note) for number in kinds}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def with_next(run: Path, exit_code: int) -> int:
    """Names the commands to go on with, after a run that is complete."""
    from agents import distributed

    if exit_code == 0 and distributed.rank() == 0:
        print(f"next:\n  quintet play {runs.words(run)}\n  quintet evaluate {runs.words(run)}")
        print(f"  tensorboard --logdir {shlex.quote(str(run.parent))}")
    return exit_code
