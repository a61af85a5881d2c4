"""`quintet export`: a trained policy as a file that runs without this code, checked against the policy itself."""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import flags, runs
from experiments.errors import InputError, as_input_error
from experiments.flags import Modules
from experiments.worlds import EVALUATION_SEED, import_modules

STEPS, ROWS = 8, 512
"""How many random observations a file is checked on: a policy that remembers sees them in rows of so many steps."""
TOLERANCE = 1e-3
"""Largest difference of an output, relative to 1 or to its own size, that counts as rounding."""
EPISODES = 20
"""That the policy and a file with 8-bit weights are compared by."""
INSTALL = "ONNX needs the extra 'export': pip install 'quintet[export]' (in a clone: pip install -e '.[export]')"


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
    path = Path(options.to)
    if path.suffix not in (".pt", ".onnx"):
        raise InputError(f"--to {path}: the file's name must end in .pt (TorchScript) or .onnx")
    if not path.parent.is_dir():
        raise InputError(f"--to {path}: there is no folder {path.parent}")
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
        envs.close()


def prepare(run_config: runs.RunConfig, checkpoint: Path) -> tuple[Any, Any, list[dict[str, Any]]]:
    """The policy of a checkpoint, as it is and as `agents.export.Function`, and random inputs for `STEPS` steps."""
    import torch

    from agents.export import Function
    from agents.rollout import Collector
    from experiments.trained import environment, evaluation_envs, load_policy

    environment(run_config)
    torch.set_num_threads(1)
    envs = evaluation_envs(run_config, 2)
    collector = Collector(envs)
    policy = load_policy(run_config, checkpoint, envs)
    columns = collector.masks.num_columns
    inputs = random_inputs(envs.single_observation_space, columns)
    function = Function(policy, envs.single_action_space, columns is not None)
    envs.close()
    return policy, function, inputs


def random_inputs(space: Any, columns: int | None) -> list[dict[str, Any]]:
    """Observations, masks and starts of `ROWS` rows for `STEPS` steps, the same each time."""
    import torch
    from gymnasium.vector.utils import batch_space

    from agents.encoding import Encoder

    batches, encoder = batch_space(space, ROWS), Encoder(space)
    batches.seed(0)
    generator = torch.Generator().manual_seed(0)
    found = []
    for step in range(STEPS):
        masks = None if columns is None else torch.rand(ROWS, columns, generator=generator) < 0.6
        if masks is not None:
            masks[:, 0] = True
        starts = torch.rand(ROWS, generator=generator) < (0.1 if step else 1.1)
        found.append({"obs": encoder(batches.sample()), "mask": masks, "starts": starts})
    return found


def export(policy: Any, function: Any, inputs: list[dict[str, Any]], path: Path, int8: bool) -> int:
    """Writes, checks and tells; returns the exit code."""
    from agents.export import Loaded, write

    example = _arguments(function.inputs, inputs[0], policy.initial_memory(ROWS))
    try:
        with as_input_error(ValueError):
            write(function, example, path, int8)
        loaded = Loaded(path)
    except ImportError as error:
        raise InputError(f"{INSTALL} ({error})") from error
    shapes = ", ".join(f"{name} {dtype}{['N', *shape]}" for name, (shape, dtype) in loaded.shapes.items())
    print(f"{path}: {path.stat().st_size:,} bytes{', 8-bit weights' if int8 else ''}")
    print(f"  takes {shapes.replace(chr(39), '')}\n  gives {', '.join(loaded.outputs)}")
    difference, equal = compare(policy, function, loaded, inputs)
    one = [tensor[:1].contiguous() for tensor in example]
    before, after = microseconds(function, one), microseconds(loaded, one)
    print(
        f"  checked on {STEPS * ROWS:,} random observations: largest difference {difference:.2g}, actions {equal:.2%}"
    )
    print(f"  one observation takes {after:.0f} us; in PyTorch without a file {before:.0f} us")
    if not int8 and (difference > TOLERANCE or equal < 0.999):
        print("  the file does not do as the policy does: do not use it")
        return 1
    return 0


def compare(policy: Any, function: Any, loaded: Any, inputs: list[dict[str, Any]]) -> tuple[float, float]:
    """The largest relative difference of outputs, and the share of actions equal to `policy.act`'s.

    Actions of a Box are numbers among others; they are equal where they differ by rounding only. A memory is fed back,
    the file's own to the file, the policy's own to the policy.
    """
    import torch

    from agents.outputs import outputs

    difference, equal = 0.0, []
    own = memory = policy.initial_memory(ROWS)
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
        equal.append(((due["action"] - found["action"]).abs() <= close).reshape(ROWS, -1).all(dim=1).float().mean())
    return difference, float(torch.stack(equal).mean())


def _difference(one: Any, other: Any) -> float:
    """The largest difference of two tensors, relative to 1 or to what it should be; equal infinities don't differ."""
    gaps = (one - other).abs() / one.abs().clamp(min=1)
    return float(gaps.masked_fill(one == other, 0).max())


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
