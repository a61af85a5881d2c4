"""`quintet bench gpu`: worlds alone, with a policy acting, and with PPO learning, on a GPU, over the number of worlds.

Worlds alone are played at random, with legal actions where there are masks, and ("scripted") by their best scripted
player in every seat. Games of worlds that have scripted players begin one after another, so that all stages of a game
are there. A figure is the slope of agent-steps over time after the first tenth, kernels compiled and graphs recorded
before. Beside it stands the floor: the time that the bytes to be moved, or the operations to be done, take at the
rates that this machine reaches with a large copy and a large matrix product.

A file that is there already keeps its figures of what is not measured anew: each says at which commit it was taken.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from experiments.bench.common import RESULTS, machine, write
from experiments.errors import as_input_error, check_known
from experiments.matches import choosing

TIERS = ("code", "simulation", "scripted", "inference", "training", "solve")
SOLVED = 475.0
HORIZON = 16
"""Steps of each world in a call."""
GROUPS, EACH = 32, 33
"""Of worlds, whose games begin at different times, and their size."""
VARIED = ("device", "world", "worlds", "tier", "epochs", "precision", "bf16_obs", "compiled")
"""What tells one figure from another."""


@dataclass(frozen=True)
class Case:
    """A world and how PPO learns from it."""

    world: str
    hidden_sizes: tuple[int, ...]
    counts: tuple[int, ...]
    """Numbers of worlds."""


CASES = (
    Case("quintet/CartPole-v1", (64, 64), (1024, 4096, 16384, 65536, 262144)),
    Case("quintet/GridWorld-v0", (64, 64), (1024, 4096, 16384, 65536, 262144)),
    Case("quintet/Duel-v0", (256, 256), (256, 1024, 4096, 16384)),
    Case("quintet/Arena-v0", (256, 256), (256, 1024, 2048, 4096, 8192)),
)


@dataclass(frozen=True)
class Options:
    """Measures worlds, acting and learning on a GPU, and what the compilers make of the kernels."""

    world: tuple[str, ...] = tuple(case.world for case in CASES)
    """Which of the worlds."""
    tier: tuple[str, ...] = TIERS
    """Which of: code (the kernels' registers, no GPU needed), simulation, scripted, inference, training, solve."""
    counts: tuple[int, ...] = ()
    """Numbers of worlds; by default each world's own."""
    epochs: tuple[int, ...] = (1, 4)
    """Passes over the data in training, a figure each."""
    precision: str = "tf32"
    """Of the network: float32, tf32 or bfloat16."""
    bf16_obs: bool = False
    """Keep a horizon's observations in bfloat16."""
    compile: bool = False
    """Learn through a network that torch.compile made."""
    apart: int = 112
    """Ticks from the first reset of a group of worlds to that of the next of 32 groups, where there are scripted
    players."""
    seconds: float = 3.0
    """A figure takes."""
    device: str = "cuda"
    """cuda, or cpu to try it out."""
    turns: int = 1
    """Times that all is measured; the best counts."""
    out: str = str(RESULTS / "bench_gpu.json")
    """File that the figures are written to; a picture goes beside it."""


def main(options: Options) -> None:
    """Measures, prints a line a figure, writes them and draws them."""
    import torch

    cases = [_case(name) for name in options.world]
    torch.set_num_threads(1)
    for tier in options.tier:
        check_known("tier", tier, TIERS)
    about, out = machine() | _gpu(options), Path(options.out)
    before = json.loads(out.read_text()) if out.exists() else {}
    at = {"device": about["device"], "commit": about["commit"]}
    document: dict[str, Any] = {"commands": [{"commit": about["commit"], "command": command(options)}]}
    if "code" in options.tier:
        document["code"] = [code_of(case) | {"commit": about["commit"]} for case in cases]
    if set(options.tier) - {"code"}:
        document["machine"] = about
    if set(options.tier) & {"simulation", "scripted", "inference", "training"}:
        document["rates"] = rates(options)
        document["figures"] = []
        for case in cases:
            document["figures"] += [one | at for one in sweep(case, options, document["rates"])]
            write(merged(before, document), out)
    if "solve" in options.tier:
        document["solve"] = solve(options) | at
    document = merged(before, document)
    write(document, out)
    if document["figures"]:
        draw(document["figures"], out.with_suffix(".png"))


def command(options: Options) -> str:
    """The command line that measures so."""
    words = ["quintet bench gpu"]
    for field in fields(options):
        value = getattr(options, field.name)
        if value != field.default and field.name != "out":
            words += [f"--{field.name.replace('_', '-')}", *map(str, value if isinstance(value, tuple) else [value])]
    return " ".join(word for word in words if word != "True")


def merged(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """What was measured now, and what was before and not again."""
    found = before | now
    found["commands"] = [*before.get("commands", []), *now["commands"]]
    for name, varied in (("figures", VARIED), ("code", ("world", "capability"))):
        which = lambda one, varied=varied: tuple(one[field] for field in varied)  # noqa: E731
        again = {which(one) for one in now.get(name, [])}
        found[name] = [one for one in before.get(name, []) if which(one) not in again] + now.get(name, [])
    return found


def _case(name: str) -> Case:
    known = {case.world: case for case in CASES}
    check_known("benchmark of", name, known)
    return known[name]


def _gpu(options: Options) -> dict[str, Any]:
    """The device's name, checked before anything is measured."""
    import torch

    if options.device == "cpu" or set(options.tier) == {"code"}:
        return {"device": "cpu" if options.device == "cpu" else "none needed"}
    from envs.engine import cuda

    with as_input_error(ValueError):
        cuda.require()
    return {"device": torch.cuda.get_device_name()}


def code_of(case: Case) -> dict[str, Any]:
    """Registers, stack and spills of a world's kernel for compute capability 9.0."""
    from envs.engine.cuda_code import assemble, lowered, ptx
    from envs.engine.cuda_driver import max_registers
    from envs.registration import load_world, registered_worlds

    world = load_world(registered_worlds()[case.world])
    code = assemble(ptx(lowered(world), (9, 0)), (9, 0), max_registers(world))
    print(f"{case.world:<24} sm_90: {code.registers} registers, {code.stack} bytes of stack, {code.spills} spilled")
    return {"world": case.world, "capability": "9.0", **code._asdict()}


def rates(options: Options) -> dict[str, float]:
    """Bytes a second of a large copy, read and written, and operations a second of a large matrix product."""
    import torch

    device, large = options.device, options.device == "cuda"
    source = torch.randn(1 << (28 if large else 22), device=device)
    target = torch.empty_like(source)
    copying = _seconds(lambda: target.copy_(source), device)
    size = 8192 if large else 512
    kind = torch.bfloat16 if options.precision == "bfloat16" else torch.float32
    left, right = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    torch.set_float32_matmul_precision("high" if options.precision == "tf32" else "highest")
    multiplying = _seconds(lambda: left @ right, device)
    found = {"bytes": 2 * source.nbytes / copying, "operations": 2 * size**3 / multiplying}
    print(
        f"copy {found['bytes'] / 1e12:.2f} TB/s, {options.precision} product {found['operations'] / 1e12:.1f} TFLOP/s"
    )
    return found


def _seconds(work: Callable[[], Any], device: str, repeats: int = 10) -> float:
    """The median time of a call."""
    times = []
    for _ in range(repeats + 3):
        started = time.perf_counter()
        work()
        synchronize(device)
        times.append(time.perf_counter() - started)
    return float(np.median(times[3:]))


def synchronize(device: str) -> None:
    """Waits for the device."""
    import torch

    if device != "cpu":
        torch.cuda.synchronize()


def slope(work: Callable[[], Any], units: int, seconds: float, device: str) -> float:
    """Units a second of a call that does `units` of them, after the first tenth of `seconds`; three calls go before."""
    for _ in range(3):
        work()
    synchronize(device)
    marks, started = [(0.0, 0)], time.perf_counter()
    while marks[-1][0] < seconds or len(marks) < 6:
        work()
        synchronize(device)
        marks.append((time.perf_counter() - started, len(marks)))
    times, calls = np.array(marks).T
    late = times >= times[-1] / 10
    return float(np.polyfit(times[late], calls[late] * units, 1)[0])


def sweep(case: Case, options: Options, reached: dict[str, float]) -> list[dict[str, Any]]:
    """The figures of a world, for each number of worlds and tier."""
    import gc

    import torch

    found = []
    for count in options.counts or case.counts:
        for tier, epochs in tiers(options, case.world):
            best: dict[str, Any] = {}
            for _ in range(options.turns):
                if options.device != "cpu":
                    torch.cuda.reset_peak_memory_stats()
                try:
                    figure = measure(case, count, tier, epochs, options)
                except torch.cuda.OutOfMemoryError:
                    print(f"{case.world:<24} {count:>7} worlds {tier}: more memory than there is", flush=True)
                    break
                finally:
                    gc.collect()
                best = max(best, figure, key=lambda one: one.get("steps_per_second", 0.0))
            if best:
                found.append(best | floor(best, reached))
                print(line(found[-1]), flush=True)
    return found


def tiers(options: Options, world: str) -> list[tuple[str, int]]:
    """What is measured, with passes over the data."""
    from envs.registration import load_world, registered_worlds

    scripted = load_world(registered_worlds()[world]).scripted_levels > 0
    known = ("simulation", *(("scripted",) if scripted else ()), "inference")
    found = [(tier, 0) for tier in known if tier in options.tier]
    return found + [("training", epochs) for epochs in options.epochs if "training" in options.tier]


def measure(case: Case, count: int, tier: str, epochs: int, options: Options) -> dict[str, Any]:
    """One figure."""
    import torch

    import envs
    from agents import ppo

    worlds = envs.make_vec(case.world, count, device=options.device)
    rows, real = worlds.num_envs, np.dtype(worlds.single_observation_space.dtype).kind == "f"
    config = ppo.Config(
        num_envs=rows, num_steps=HORIZON, hidden_sizes=case.hidden_sizes, update_epochs=max(epochs, 1),
        num_minibatches=4, precision=options.precision, bf16_obs=options.bf16_obs and real, anneal_lr=False,  # pyright: ignore
        compile=options.compile and tier == "training",
    )  # fmt: skip
    if config.compile:
        torch._dynamo.reset()  # it would make one code for all numbers of worlds
    state = ppo.TrainState(worlds, config, options.device)
    rollout = ppo.new_rollout(state, config)
    level = worlds.world.scripted_levels if tier == "scripted" else 0
    if worlds.world.scripted_levels:
        set_out(state.collector, midgame(case.world, options.device, options.apart), level)
    if tier in ("simulation", "scripted"):
        choose = at_random(worlds)
        still = choose(None)
        chooses = (lambda mask: still) if level else choose
        work = lambda: state.graphs.run("play", lambda: play(worlds, chooses, rollout))  # noqa: E731
    elif tier == "inference":
        work = lambda: state.graphs.run("collect", lambda: ppo.collect(state, rollout))  # noqa: E731
    else:
        work = lambda: ppo.iterate(state, rollout, ppo.at(config, 0.0))  # noqa: E731
    speed = slope(work, rows * HORIZON, options.seconds, options.device)
    memory = torch.cuda.max_memory_allocated() if options.device != "cpu" else 0
    return {
        "world": case.world, "worlds": count, "rows": rows, "tier": tier, "epochs": epochs, "steps_per_second": speed,
        "obs_bytes": state.collector.obs[0].nbytes, "kept_obs_bytes": rollout.obs[0, 0].nbytes,
        "record_bytes": worlds.state.dtype.itemsize,
        "parameters": sum(parameter.numel() for parameter in state.policy.parameters()),
        "precision": options.precision, "bf16_obs": config.bf16_obs, "compiled": config.compile,
        "memory_bytes": memory,
    }  # fmt: skip


def play(worlds: Any, choose: Callable[[Any], Any], rollout: Any) -> None:
    """A horizon of steps, with actions that are chosen for masks."""
    masks = rollout._rows["action_mask"]
    if masks[0] is not None:
        masks[0].copy_(masks[-1])
    for t, out in enumerate(rollout._outs):
        worlds.step(choose(masks[t]), out=out)


def at_random(worlds: Any) -> Callable[[Any], Any]:
    """What draws actions for masks, by torch's own generator on the worlds' device; without masks always the same."""
    import torch

    worlds.action_space.seed(0)
    drawn = torch.as_tensor(worlds.action_space.sample()).to(worlds.device)
    layout = worlds.action_layout
    if layout is None:
        return lambda mask: drawn
    choose = choosing(layout, worlds.device)

    def draw_legal(mask: Any) -> Any:
        return torch.zeros_like(drawn) if mask is None else choose(torch.rand(mask.shape, device=mask.device) * mask)

    return draw_legal


@cache
def midgame(world: str, device: str, apart: int) -> Any:
    """Records of worlds that their best scripted players play, groups of them begun one after another, `[n, bytes]`."""
    import envs
    from envs.engine import vector

    worlds = envs.make_vec(world, GROUPS * EACH, device=device)
    worlds.set_control(np.full(worlds.num_seats, worlds.world.scripted_levels))
    worlds.reset(seed=0)
    numbers, still = np.arange(worlds.num_worlds) % GROUPS, at_random(worlds)(None)
    *seen, infos = worlds.step(still)
    out: dict[str, Any] = dict(zip(vector.RESULTS, (*seen, infos["action_mask"]), strict=True))
    for group in range(GROUPS):
        for _ in range(apart):
            worlds.step(still, out=out)
        worlds.reset(options={"reset_mask": np.repeat(numbers == group, worlds.num_seats)})
    return worlds._records.buffers[0].view(worlds.num_worlds, -1)


def set_out(collector: Any, records: Any, level: int) -> None:
    """Puts worlds where the records are, over and over, with a future of their own each; `level` plays on, 0: rows."""
    import torch

    worlds = collector.envs
    own, numbers = worlds._records, torch.arange(worlds.num_worlds, device=records.device)
    own.buffers[0].view(worlds.num_worlds, -1).copy_(records[numbers % len(records)])
    own.field("key").view(torch.int64).add_(numbers)
    for name in ("control", "next_control"):
        own.field(name).fill_(level)
    collector._receive(*worlds.observe())


def floor(figure: dict[str, Any], reached: dict[str, float]) -> dict[str, Any]:
    """The least that an agent-step must move and do, and the share of the measured time that this takes.

    Moved: the record, read and written; the observation, written, read by the policy when it acts, and in training
    once to be judged and in each pass three times (chosen, laid down, read), as it is kept for that. Done: two
    operations a parameter when acting, two when judging, six in a pass.
    """
    obs, kept, seats = figure["obs_bytes"], figure["kept_obs_bytes"], figure["rows"] / figure["worlds"]
    acts, learns = figure["tier"] in ("inference", "training"), figure["tier"] == "training"
    moved = 2 * figure["record_bytes"] / seats + obs + kept * (acts + learns * (1 + 3 * figure["epochs"]))
    done = figure["parameters"] * (2 * acts + learns * (2 + 6 * figure["epochs"]))
    least = max(moved / reached["bytes"], done / reached["operations"])
    bound = "bytes" if moved / reached["bytes"] >= done / reached["operations"] else "operations"
    share = least * figure["steps_per_second"]
    return {"moved_bytes": moved, "operations": done, "bound_by": bound, "share_of_floor": share}


def line(figure: dict[str, Any]) -> str:
    """For people."""
    tier = f"training, {figure['epochs']} pass(es)" if figure["epochs"] else figure["tier"]
    return (
        f"{figure['world']:<24} {figure['worlds']:>7} worlds  {tier:<20} {figure['steps_per_second'] / 1e6:>9.3f}M "
        f"agent-steps/s  {100 * figure['share_of_floor']:>5.1f}% of the bound by {figure['bound_by']}; "
        f"observation {figure['obs_bytes']} B, {figure['parameters']:,} parameters, {figure['precision']}, "
        f"{figure['memory_bytes'] / 2**30:.1f} GiB"
    )


def solve(options: Options) -> dict[str, Any]:
    """Seconds from an untrained policy to a mean return of 475 in CartPole; the second of two runs, all compiled."""
    _learn_cartpole(options)
    seconds, steps, value = _learn_cartpole(options)
    print(f"CartPole: mean return {value:.0f} after {seconds:.2f} s and {steps:,} steps, compilation apart", flush=True)
    return {"world": "quintet/CartPole-v1", "seconds": seconds, "steps": steps, "mean_return": value, "solved": SOLVED}


def _learn_cartpole(options: Options) -> tuple[float, int, float]:
    import envs
    from agents import ppo

    count = 4096 if options.device != "cpu" else 64
    config = ppo.Config(
        num_envs=count,
        num_steps=32,
        learning_rate=3e-3,
        total_timesteps=100_000_000,
        gae_lambda=0.9,
        anneal_lr=False,
        precision=options.precision,  # pyright: ignore
    )
    worlds = envs.make_vec("quintet/CartPole-v1", count, device=options.device)
    state = ppo.TrainState(worlds, config, options.device)
    started, value = time.perf_counter(), 0.0
    for metrics in ppo.learn(worlds, config, state):
        value = metrics.get("charts/episodic_return", value)
        if value >= SOLVED or time.perf_counter() - started > 60:
            break
    synchronize(options.device)
    return time.perf_counter() - started, state.global_step, value


def kind(figure: dict[str, Any]) -> str:
    """What a line of the picture is of."""
    words = [figure["tier"]]
    if figure["epochs"]:
        words.append(f"{figure['epochs']} pass{'es' if figure['epochs'] > 1 else ''}")
        words += [figure["precision"]] if figure["precision"] != "tf32" else []
        words += ["observations too"] if figure["bf16_obs"] else []
        words += ["compiled"] if figure["compiled"] else []
    return ", ".join(words)


def draw(figures: list[dict[str, Any]], out: Path) -> None:
    """Agent-steps per second over the number of worlds, a panel per world."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    names = list(dict.fromkeys(figure["world"] for figure in figures))
    kinds = list(dict.fromkeys(map(kind, figures)))
    made = {name: dict.fromkeys(figure[name] for figure in figures) for name in ("device", "commit")}
    picture = Figure(figsize=(4.2 * len(names), 4.0), layout="constrained")
    axes = picture.subplots(1, len(names), squeeze=False)[0]
    lines = {}
    for ax, name in zip(axes, names, strict=True):
        for number, which in enumerate(kinds):
            mine = [one for one in figures if one["world"] == name and kind(one) == which]
            points = sorted((one["worlds"], one["steps_per_second"]) for one in mine)
            if points:
                lines[which] = ax.loglog(*zip(*points, strict=True), marker="o", color=f"C{number}")[0]
        ax.set(title=name, xlabel="worlds")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(EngFormatter(sep=""))
            axis.set_minor_formatter(EngFormatter(sep="") if _within_a_decade(ax, axis) else "")
        ax.grid(alpha=0.3, which="both")
    axes[0].set_ylabel("agent-steps per second")
    picture.legend(list(lines.values()), list(lines), loc="outside lower center", ncols=5, fontsize=9)
    picture.suptitle(f"{', '.join(made['device'])}; commits {', '.join(made['commit'])}", fontsize=9)
    picture.savefig(out, dpi=120)
    print(f"drawn into {out}")


def _within_a_decade(ax: Any, axis: Any) -> bool:
    """Whether a logarithmic axis has no two powers of ten to be read by."""
    low, high = ax.get_xlim() if axis is ax.xaxis else ax.get_ylim()
    return math.ceil(math.log10(low)) + 1 > math.floor(math.log10(high))
