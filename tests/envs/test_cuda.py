"""The CUDA path. What needs no GPU: kernels compile, and numba's simulator plays them as the CPU does. The rest is
marked `gpu` (`make test-gpu`)."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

import envs
from envs.engine import cuda, cuda_driver
from envs.engine.cuda_code import assemble, lowered, ptx
from envs.engine.cuda_host import HostKernel
from envs.engine.rules import rule
from envs.registration import load_world, registered_worlds
from tests.probe_worlds import two_seats


def world_named(name):
    return load_world(registered_worlds().get(name) or name)


def play_both(host, device, ticks, every=1):
    """Plays random actions in both, which must be equal to the byte; returns how many rows' episodes ended."""
    assert torch.equal(host.reset(seed=5)[0], device.reset(seed=5)[0].cpu())
    host.action_space.seed(2)
    ended = 0
    for tick in range(ticks):
        actions = torch.as_tensor(host.action_space.sample())
        (*expected, infos), (*given, told) = host.step(actions), device.step(actions.to(device.device))
        for one, two in zip(expected, given, strict=True):
            assert torch.equal(one, two.cpu()), tick
        if "action_mask" in infos:
            assert torch.equal(infos["action_mask"], told["action_mask"].cpu()), tick
        if "episode" in infos:
            ended += int(infos["_episode"].sum())
            assert torch.equal(infos["final_obs"], told["final_obs"].cpu()), tick
            for key, value in infos["episode"].items():
                assert torch.equal(value, told["episode"][key].cpu()), key
        if tick % every == 0:
            assert torch.equal(host.save_state()["records"], device.save_state()["records"]), tick
    return ended


WORLDS = sorted(name for name in registered_worlds() if name.startswith("quintet/"))
gpu = pytest.mark.gpu
PROBE = "tests.probe_worlds:two_seats_on_a_short_strip"
"""A world that a warp plays, with short games."""
TICKS = {"quintet/Arena-v0": 2, "quintet/Duel-v0": 4, PROBE: 8}

SIMULATED = """
import dataclasses, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
import envs
from envs.engine import cuda_driver
from tests.envs.test_cuda import play_both, world_named

name, ticks, frame_skip, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
cuda_driver.WARPS, cuda_driver.MULTIPROCESSORS = 2, 1
empty = np.empty
np.empty = lambda *given, **told: (time.sleep(1e-4), empty(*given, **told))[1]  # threads take turns as they ask
world = dataclasses.replace(world_named(name), frame_skip=frame_skip)
print("same", play_both(envs.make_vec(world, count, num_threads=1), envs.make_vec(world, count, device="cuda"), ticks))
"""


def simulated(name, frame_skip=1, count=2):
    """Plays a world in numba's simulator beside the CPU, two worlds a block; returns how many rows' episodes ended."""
    simulating = os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "QUINTET_DEBUG": "1"}
    arguments = [sys.executable, "-c", SIMULATED, name, str(TICKS.get(name, 60)), str(frame_skip), str(count)]
    done = subprocess.run(arguments, env=simulating, capture_output=True, text=True, timeout=600)
    assert done.stdout.startswith("same"), done.stderr[-2000:]
    return int(done.stdout.split()[1])


@pytest.mark.parametrize("name", WORLDS)
def test_the_simulated_kernel_plays_as_the_cpu_does(name):
    ended = simulated(name)
    if name == "quintet/CartPole-v1":
        assert ended > 0, "no episode ended, so nothing was said of autoreset"


@pytest.mark.parametrize(("name", "frame_skip"), [("quintet/CartPole-v1", 3), (PROBE, 1), (PROBE, 3)])
def test_worlds_of_a_block_end_apart(name, frame_skip):
    ended = simulated(name, frame_skip, count=5)
    assert 5 < ended < 5 * TICKS.get(name, 60), "games end, and not all of them in every step"


@cache
def lowered_kernel(name):
    return lowered(world_named(name))


def both_here(world, count, modules, monkeypatch):
    """Two batches: for the CPU, and played by a kernel on this processor, blocks of it."""
    kernel = HostKernel(world, count, modules)
    assert kernel.blocks > 1
    monkeypatch.setattr(cuda, "Kernel", lambda world, num_worlds: kernel)
    monkeypatch.setattr(cuda, "simulated", lambda: True)
    return envs.make_vec(world, count), envs.make_vec(world, count, device="cuda")


@pytest.mark.parametrize("name", [*WORLDS, PROBE])
def test_the_kernel_as_it_is_optimised_plays_as_the_cpu_does_when_this_processor_runs_it(name, monkeypatch):
    monkeypatch.setattr(cuda_driver, "WARPS", 2)
    monkeypatch.setattr(cuda_driver, "MULTIPROCESSORS", 1)
    world, count = world_named(name), 5 if name in TICKS else 70
    host, device = both_here(world, count, lowered_kernel(name), monkeypatch)
    ended = play_both(host, device, 400 if name == PROBE else 150)
    if name in ("quintet/CartPole-v1", PROBE):
        assert ended > count


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_rows_that_shared_memory_has_no_room_for_are_written_where_they_belong(rows, monkeypatch):
    monkeypatch.setattr(cuda_driver, "WARPS", 2)
    monkeypatch.setattr(cuda_driver, "MULTIPROCESSORS", 1)
    world = world_named(PROBE)
    monkeypatch.setattr(cuda_driver, "STAGE", 2 * int(np.prod(world.observation_space.shape or ())) * 4 * rows)
    assert cuda_driver.staged_rows(world) == rows
    assert play_both(*both_here(world, 5, lowered(world), monkeypatch), 60) > 5


def at_work(extent):
    """Instructions of warps, and of threads by them, in a phase of so many indices."""

    @rule
    def mark(state, index):
        state.eaten[index % 2] = np.int32(index)

    world = replace(two_seats(), step=[(mark, extent)])
    worlds = envs.make_vec(world, 3, num_threads=1, autoreset_mode="Disabled")
    worlds.reset(seed=0)
    kernel = HostKernel(world, 3, lowered(world), counted=True)
    for _ in range(2):
        kernel.step(worlds, np.zeros((6, 2), np.int64))
    counts, phase = kernel.counts(), cuda_driver.phase_names(world).index("mark")
    assert counts.worlds == 6 and kernel.counts().worlds == 0
    return counts.warps[phase], counts.threads[phase] / counts.warps[phase]


def test_what_a_warp_runs_is_counted():
    few, busy_of_few = at_work(8)
    one, busy_of_one = at_work(32)
    (once, _), (twice, _), (thrice, busy_of_many) = (at_work(32 * rounds) for rounds in (40, 60, 80))
    assert busy_of_few < 20 < 28 < busy_of_one <= 32 and busy_of_many > 31, "all ask whether an index is theirs"
    assert few == one, "a warp takes as long over eight indices as over 32"
    assert twice - once == thrice - twice >= 20 * 4


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("capability", [(8, 0), (9, 0)])
def test_the_kernel_compiles_without_float64_or_spills_and_every_operation_is_rounded_correctly(name, capability):
    code = ptx(lowered_kernel(name), capability)
    assert f".target sm_{capability[0]}{capability[1]}" in code
    assert ".f64" not in code
    assert not re.findall("fma[.]|approx|[.]ftz|full[.]f32", code)
    assembled = assemble(code, capability)
    assert assembled.spills == 0
    assert assembled.registers <= 255


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_error_says_what_to_use():
    with pytest.raises(ValueError, match=r'needs a GPU.*use device="cpu"'):
        envs.make_vec("quintet/CartPole-v1", 2, device="cuda")


def test_another_device_is_refused_by_name():
    with pytest.raises(ValueError, match='got device=\'mps\'; use "cpu" or "cuda"'):
        envs.make_vec("quintet/CartPole-v1", 2, device="mps")


@pytest.mark.parametrize("name", ["quintet/CartPole-v1", "quintet/GridWorld-v0"])
def test_only_the_last_observations_of_cut_episodes_are_kept_where_asked(name):
    one, other = envs.make_vec(name, 8, seed=1), envs.make_vec(name, 8, seed=1)
    one.set_params(max_episode_steps=9)
    other.set_params(max_episode_steps=9)
    for worlds in (one, other):
        worlds.reset(seed=1)
    one.action_space.seed(0)
    first = one.step(one.action_space.sample())
    out: dict[str, torch.Tensor] = dict(zip(("obs", "rewards", "terminated", "truncated"), first[:4], strict=True))
    one.reset(seed=1)
    out["final_obs"] = torch.full_like(out["obs"], 7)
    kept = out["final_obs"].clone()
    cuts = 0
    for _ in range(60):
        actions = one.action_space.sample()
        *_, terminated, truncated, infos = other.step(actions)
        one.step(actions, out=out)
        cut = truncated & ~terminated
        if cut.any():
            kept[cut] = infos["final_obs"][cut]
            cuts += int(cut.sum())
        assert torch.equal(out["final_obs"], kept)
    assert cuts > 0


@gpu
@pytest.mark.parametrize("name", WORLDS)
def test_two_thousand_ticks_are_the_same_on_cpu_and_gpu(name, monkeypatch):
    monkeypatch.setattr(cuda_driver, "MULTIPROCESSORS", 1)  # so blocks are as large as they get, and one is not full
    worlds = cuda_driver.WARPS + 4 if name in TICKS else 250
    host, device = envs.make_vec(name, worlds), envs.make_vec(name, worlds, device="cuda")
    play_both(host, device, 2000, every=50)


@gpu
def test_an_action_outside_the_space_is_reported_and_does_no_harm():
    worlds = envs.make_vec("quintet/CartPole-v1", 4, device="cuda")
    worlds.reset(seed=0)
    with pytest.raises(ValueError, match=r"actions\[2\] was not in Discrete"):
        worlds.step(torch.tensor([0, 1, 9, 9], device="cuda"))
    assert np.isfinite(worlds.state["returns"]).all()
    worlds.step(torch.tensor([0, 1, 1, 0], device="cuda"))
