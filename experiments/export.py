"""`quintet export`: a trained policy as a file that runs without this code, checked against the policy itself."""

import math
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import flags, runs
from experiments.errors import InputError, as_input_error, check_file, install
from experiments.flags import Modules
from experiments.worlds import EVALUATION_SEED, close, import_modules

STEPS, ROWS = 8, 512
"""How many random observations a file is checked on, or a few more where rows are teams: a policy that remembers sees
them in rows of so many steps."""
TOLERANCE = 1e-3
"""Largest difference of an output, relative to 1 or to its own size, that counts as rounding."""
EPISODES = 20
"""That the policy and a file with 8-bit weights are compared by."""
INSTALL = f"ONNX needs the extra 'export': {install('export')}"


@dataclass(frozen=True)
class Options:
    """Writes a trained policy as TorchScript (.pt) or ONNX (.onnx): a function of a batch of observations, and masks,
    that gives the best actions and what they were chosen by. The file is loaded and compared with the policy.
    """

    run: flags.Run
    """Run folder, a name in --runs-dir, or "latest"."""
    to: str
    """The file, .pt or .onnx."""
    checkpoint: str | None = None
    """A step, a file or "best"; the last one by default."""
    int8: bool = False
    """Weights of linear layers in 8 bits: smaller, not quite the same actions; tells what both earn."""
    runs_dir: str = "runs"
    """Folder of run folders."""
    module: Modules = ()
    """A module of your own that the run needs."""


def main(argv: list[str]) -> int:
    """`quintet export ...`; returns the exit code, 1 where the file doesn't do as the policy does."""
    options = flags.parse(Options, argv, "quintet export")
    if not Path(options.to).parent.is_dir():
        raise InputError(f"--to {options.to}: there is no folder {Path(options.to).parent}")
    path = check_file("--to", options.to, ".pt", ".onnx")
    run = runs.find(options.run, options.runs_dir)
    run_config, chosen = runs.read_config(run), runs.find_checkpoint(run, options.checkpoint)
    import_modules(options.module)
    policy, function, inputs = prepare(run_config, chosen)
    exit_code = export(policy, function, inputs, path, options.int8)
    if options.int8:
        show_returns(run_config, policy, path)
    return exit_code


def show_returns(run_config: runs.RunConfig, policy: Any, path: Path) -> None:
    """Prints what the policy's and the file's best actions earn in the same episodes."""
    from agents.evaluate import evaluate
    from agents.export import Loaded
    from experiments.trained import evaluation_envs

    for name, player in {"policy": policy, "file": Loaded(path)}.items():
        envs = evaluation_envs(run_config, EPISODES)
        print(f"  the {name} earns {evaluate(player, envs, EPISODES, seed=EVALUATION_SEED)}")
        close(envs)


def prepare(run_config: runs.RunConfig, checkpoint: Path) -> tuple[Any, Any, list[dict[str, Any]]]:
    """The policy of a checkpoint, as it is and as `agents.export.Function`, and random inputs for `STEPS` steps."""
    import torch

    from agents.export import Function
    from agents.rollout import Collector, EnvError
    from experiments.trained import environment, evaluation_envs, load_policy

    environment(run_config)
    torch.set_num_threads(1)
    envs = evaluation_envs(run_config, 2)
    with as_input_error(EnvError, prefix=f"{run_config.env_id} broke down: "):
        collector = Collector(envs)
    policy = load_policy(run_config, checkpoint, envs)
    if hasattr(policy, "bfloat16"):
        policy.bfloat16 = False  # a file has float32 everywhere
    columns = collector.masks.num_columns
    inputs = random_inputs(envs.single_observation_space, columns, -(-ROWS // team_of(policy)) * team_of(policy))
    function = Function(policy, envs.single_action_space, columns is not None)
    close(envs)
    return policy, function, inputs


def team_of(policy: Any) -> int:
    """Rows that a policy takes together."""
    team = getattr(policy, "team", None)
    return 1 if team is None else team.team_size


def random_inputs(space: Any, columns: int | None, rows: int) -> list[dict[str, Any]]:
    """Observations, masks and starts of so many rows for `STEPS` steps, the same each time."""
    import torch
    from gymnasium.vector.utils import batch_space

    from agents.encoding import Encoder

    batches, encoder = batch_space(space, rows), Encoder(space)
    batches.seed(0)
    generator = torch.Generator().manual_seed(0)
    found = []
    for step in range(STEPS):
        masks = None if columns is None else torch.rand(rows, columns, generator=generator) < 0.6
        if masks is not None:
            masks[:, 0] = True
        starts = torch.rand(rows, generator=generator) < (0.1 if step else 1.1)
        found.append({"obs": encoder(batches.sample()), "mask": masks, "starts": starts})
    return found


def export(policy: Any, function: Any, inputs: list[dict[str, Any]], path: Path, int8: bool) -> int:
    """Writes, checks and tells; returns the exit code."""
    from agents.export import Loaded, write

    rows, team = len(inputs[0]["obs"]), team_of(policy)
    example = _arguments(function.inputs, inputs[0], policy.initial_memory(rows))
    draft = path.with_name(f".draft-{path.name}")
    try:
        with as_input_error(ValueError, OSError):
            write(function, example, draft, int8)
        loaded = Loaded(draft)
        difference, equal = compare(policy, function, loaded, inputs)
        if not int8 and (difference > TOLERANCE or equal < 0.999):
            print(
                f"what was written does not do as the policy does (largest difference {difference:.2g}, actions "
                f"{equal:.2%}), so there is no {path}"
            )
            return 1
        draft.replace(path)
    except ImportError as error:
        raise InputError(f"{INSTALL} ({error})") from error
    finally:
        draft.unlink(missing_ok=True)
    shapes = ", ".join(f"{name} {dtype}{['N', *shape]}" for name, (shape, dtype) in loaded.shapes.items())
    print(f"{path}: {path.stat().st_size:,} bytes{', 8-bit weights' if int8 else ''}")
    print(f"  takes {shapes.replace(chr(39), '')}\n  gives {', '.join(loaded.outputs)}")
    one = [tensor[:team].contiguous() for tensor in example]
    before, after = microseconds(function, one), microseconds(loaded, one)
    print(
        f"  checked on {STEPS * rows:,} random observations: largest difference {difference:.2g}, actions {equal:.2%}"
    )
    what = "one observation takes" if team == 1 else f"a team's {team} observations take"
    print(f"  {what} {after:.0f} us; in PyTorch without a file {before:.0f} us")
    return 0


def compare(policy: Any, function: Any, loaded: Any, inputs: list[dict[str, Any]]) -> tuple[float, float]:
    """The largest relative difference of outputs, and the share of actions equal to `policy.act`'s.

    Actions of a Box are numbers among others; they are equal where they differ by rounding only. A memory is fed back,
    the file's own to the file, the policy's own to the policy.
    """
    import torch

    from agents.outputs import outputs

    difference, equal = 0.0, []
    rows = len(inputs[0]["obs"])
    own = memory = policy.initial_memory(rows)
    for given in inputs:
        obs, mask, starts = given["obs"], given["mask"], given["starts"]
        with torch.no_grad():
            due = outputs(policy, obs, mask, own, starts)
            action, later = policy.act(obs, mask, own, starts, deterministic=True)
        found = loaded(*_arguments(function.inputs, given, memory))
        own, memory = later, found.get("next_memory", memory)
        due["action"] = function.within_bounds(action)
        for name, value in due.items():
            if name != "action":
                difference = max(difference, _difference(value, found[name]))
        close = TOLERANCE if function.is_box else 0.0
        equal.append(((due["action"] - found["action"]).abs() <= close).reshape(rows, -1).all(dim=1).float().mean())
    return difference, float(torch.stack(equal).mean())


def _difference(one: Any, other: Any) -> float:
    """The largest difference of two tensors, relative to 1 or to what it should be; equal infinities don't differ, what
    is no number differs endlessly."""
    gaps = (one - other).abs() / one.abs().clamp(min=1)
    return float(gaps.masked_fill(one == other, 0).nan_to_num(nan=math.inf).max())


def _arguments(names: list[str], given: dict[str, Any], memory: Any) -> list[Any]:
    return [memory if name == "memory" else given[name] for name in names]


def microseconds(function: Any, arguments: list[Any], calls: int = 200) -> float:
    """The median time of a call."""
    import torch

    times = []
    with torch.no_grad():
        for _ in range(calls + 20):
            begun = time.perf_counter()
            function(*arguments)
            times.append(time.perf_counter() - begun)
    return 1e6 * statistics.median(times[20:])
