"""Two processes learn as one: the same gradients, the same weights everywhere, statistics of all, and nobody waits for
the dead. `python -m tests.agents.test_distributed FOLDER` is one of the two."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from agents import distributed, ppo
from agents.minibatches import Batch, standardise
from agents.normalize import RunningNorm
from tests.probe_envs import LENGTHS_OF_TESTS as LENGTHS
from tests.probe_envs import Drift, Scripted, sync

SPLIT = [5, 11]
"""Rows of each rank."""
CONFIG = ppo.Config(
    total_timesteps=3 * 8 * 16, num_envs=8, num_steps=16, hidden_sizes=(8, 8), normalize_obs=True,
    normalize_reward=True, target_kl=0.02, learning_rate=1e-2, rnd_coef=0.1,
)  # fmt: skip
KINDS = {"mlp": CONFIG, "lstm": replace(CONFIG, memory="lstm", memory_size=8, segment_steps=4, num_steps=4)}


def joined_batch(config: ppo.Config) -> Batch:
    """What one process would learn from at once: 16 steps, or segments of four of which not all count."""
    torch.manual_seed(3)
    rows = (16, 4) if config.memory else (16,)
    steps = dict.fromkeys(("log_probs", "values", "advantages", "returns"))
    parts: dict[str, Any] = {name: torch.randn(rows) for name in steps}
    parts |= {"obs": torch.randn(*rows, 2), "action_mask": None, "actions": torch.randint(0, 3, rows)}
    if config.memory:
        parts |= {"memory": torch.randn(16, 16), "starts": torch.rand(rows) < 0.2}
        parts["weight"] = (torch.rand(rows) < 0.7).float()
    return Batch(**parts)


def gradient(batch: Batch, config: ppo.Config) -> Tensor:
    """Of one minibatch, before it is shortened."""
    envs = Drift(2)
    state = ppo.TrainState(envs, config)
    standardise([batch])
    ppo.minibatch_step(state, batch, config)
    return state.optimizer.grad.clone()


def values(rows: int, seed: int = 5) -> Tensor:
    """Far from zero, so that squares lose what differences keep."""
    return 1e4 + torch.randn(rows, 3, generator=torch.Generator().manual_seed(seed))


def watched(config: ppo.Config, envs: Any) -> dict[str, Any]:
    """A run: the weights after every update, what was yielded, and where it ended."""
    weights: list[Tensor] = []
    step = ppo.minibatch_step

    def watching(state: ppo.TrainState, *rest: Any) -> Tensor:
        results = step(state, *rest)
        weights.append(state.optimizer.flat.detach().clone())
        return results

    ppo.minibatch_step = watching
    state = ppo.TrainState(envs, config)
    metrics = list(ppo.learn(envs, config, state))
    ppo.minibatch_step = step
    saved = state.state_dict()
    assert state.policy.norm is not None and state.novelty is not None
    before = state.generator.get_state()
    state.generator.manual_seed(0)
    state.load_state_dict(saved | {"ranks": distributed.from_first(lambda: saved["ranks"])})
    return {
        "weights": torch.stack(weights), "metrics": metrics, "step": state.global_step,
        "norm": {name: value.clone() for name, value in state.policy.norm.state_dict().items()},
        "generator": before, "again": state.generator.get_state(),
        "novelty": state.novelty.optimizer.flat.detach().clone(), "ranks": len(saved["ranks"]),
    }  # fmt: skip


def nothing_to_learn_from() -> Tensor:
    """The gradient of which no rank has a sample."""
    grad = torch.full((3,), torch.nan)
    distributed.average_gradients(grad, 0)
    return grad


def refused(make: Any) -> str:
    """How `together` or `from_first` end here."""
    try:
        return str(make())
    except (ValueError, SystemExit) as error:
        return repr(error)


def fail(here: int) -> int:
    if distributed.rank() == here:
        raise ValueError(f"on rank {here}")
    return 7


def program(folder: Path) -> None:
    """One of two processes; the second ends without a word when all else is done."""
    torch.set_num_threads(1)
    distributed.join()
    rank = distributed.rank()
    mine = partial(torch.split, split_size_or_sections=SPLIT)
    norm = RunningNorm((3,))
    norm.update(mine(values(16))[rank])
    norm.update(values(4)[: 4 * rank])
    found = {
        "moments": distributed.moments(mine(values(16))[rank]),
        "one empty": distributed.moments(values(16)[: 16 * rank]),
        "all empty": distributed.moments(values(0)),
        "mean": distributed.mean(mine(values(16))[rank]),
        "std_means": distributed.std_means([mine(values(16)[:, 0])[rank], values(rank)[:, 0]]),
        "norm": norm.state_dict(),
        "gradients": {name: gradient(part_of(joined_batch(one), rank), one) for name, one in KINDS.items()},
        "one has none": gradient(joined_batch(CONFIG).select(torch.arange(16 * rank)), CONFIG),
        "nobody has": nothing_to_learn_from(),
        "run": watched(CONFIG, Drift(4)),
        "uneven": watched(replace(CONFIG, num_steps=9, num_minibatches=3), scripted(rank)),
        "numbers": (distributed.total(rank + 3), distributed.least(rank + 3), distributed.most(rank + 3)),
        "gathered": distributed.gather({"rank": rank}),
        "first": distributed.from_first(lambda: f"of rank {distributed.rank()}"),
        "together": [refused(partial(distributed.together, partial(fail, here))) for here in (0, 1, 2)],
        "from first": [refused(partial(distributed.from_first, partial(fail, here))) for here in (0, 1)],
        "other number": refused(lambda: distributed.own({"ranks": [{}, {}]})),
        "shown": sys.stdout is sys.__stdout__,
    }
    weights = torch.full((2,), float(rank))
    distributed.broadcast([weights])
    found["broadcast"] = weights
    torch.save(found, folder / f"{rank}.pt")
    distributed.gather(None)
    if rank == 1:
        os._exit(0)
    try:
        distributed.total(1)
    except distributed.Lost as error:
        (folder / "lost").write_text(str(error))


def part_of(batch: Batch, rank: int) -> Batch:
    """A rank's rows of the joined batch."""
    return batch.select(torch.arange(16).split(SPLIT)[rank])


def scripted(rank: int) -> Any:
    """Envs with fake steps, so that the ranks have different numbers of steps to learn from."""
    return sync(*(partial(Scripted, n, LENGTHS[n]) for n in range(2 * rank, 2 + rank)), mode=AutoresetMode.NEXT_STEP)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[Any, Any]:
    """What both processes found, by rank, and what the first said of the end of the second."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    environ = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.agents.test_distributed", str(folder)]
    both = [
        subprocess.Popen(command, env=environ | {"RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    errors = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    return {rank: torch.load(folder / f"{rank}.pt") for rank in (0, 1)} | {"lost": (folder / "lost").read_text()}


def close(one: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8) -> bool:
    return torch.allclose(torch.as_tensor(one).double(), torch.as_tensor(other).double(), rtol=rtol, atol=atol)


def same(one: Any, other: Any) -> bool:
    """Equal to the last bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, Tensor) else one == other


def test_statistics_are_those_of_all_values(found: dict) -> None:
    joined = values(16).double()
    for name in ("moments", "one empty", "all empty", "mean", "std_means", "norm"):
        assert same(found[0][name], found[1][name]), name
    for name in ("moments", "one empty"):
        count, mean, var = found[0][name]
        assert count == 16 and close(mean, joined.mean(0)) and close(var, joined.var(0, correction=0), rtol=1e-9)
    assert same([float(count_or_sum.sum()) for count_or_sum in found[0]["all empty"]], [0, 0, 0])
    several, one_value = found[0]["std_means"]
    assert close(found[0]["mean"], joined.mean(0)) and close(
        torch.stack(several), torch.stack(torch.std_mean(joined[:, 0]))
    )
    assert same([float(number) for number in one_value], [1, 0])
    norm = RunningNorm((3,))
    for rows in (16, 4):
        norm.update(values(rows))
    for name, value in norm.state_dict().items():
        assert close(found[0]["norm"][name], value, rtol=1e-9), name


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_one_process_on_the_joined_batch(found: dict, kind: str) -> None:
    assert same(found[0]["gradients"][kind], found[1]["gradients"][kind])
    alone = gradient(joined_batch(KINDS[kind]), KINDS[kind])
    assert alone.norm() > 0.01
    assert close(found[0]["gradients"][kind], alone, rtol=1e-4, atol=1e-7)


def test_a_rank_with_nothing_to_learn_from_adds_nothing(found: dict) -> None:
    assert close(found[0]["one has none"], gradient(joined_batch(CONFIG), CONFIG), rtol=1e-4, atol=1e-7)
    assert found[0]["nobody has"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["run", "uneven"])
def test_weights_are_the_same_everywhere_after_every_update(found: dict, name: str) -> None:
    one, other = found[0][name], found[1][name]
    assert len(one["weights"]) > 4 and not torch.equal(one["weights"][0], one["weights"][-1])
    for key in ("weights", "metrics", "step", "norm"):
        assert same(one[key], other[key]), key
    assert not torch.equal(one["generator"], other["generator"]), "each draws noise of its own"
    assert torch.equal(one["generator"], one["again"]) and torch.equal(other["generator"], other["again"])
    assert (one["ranks"], other["ranks"]) == (1, 0), "the first has what the others need to go on"


def test_a_run_counts_the_steps_of_all_and_stops_its_epochs_together(found: dict) -> None:
    run = found[0]["run"]
    assert run["step"] == 3 * 8 * 16 and run["norm"]["count"] == 3 * 8 * 16
    assert same(run["novelty"], found[1]["run"]["novelty"])
    updates = 3 * CONFIG.update_epochs * CONFIG.num_minibatches
    assert len(run["weights"]) < updates, "the KL stop was met"
    uneven = found[0]["uneven"]
    assert uneven["step"] == uneven["norm"]["count"] < len(uneven["metrics"]) * 9 * 3, "fake steps don't count"


def test_agreement(found: dict) -> None:
    for rank in (0, 1):
        here = found[rank]
        assert here["numbers"] == (7, 3, 4)
        assert here["gathered"] == [{"rank": 0}, {"rank": 1}]
        assert here["first"] == "of rank 0" and here["broadcast"].tolist() == [0, 0]
        assert here["together"][rank] == f"ValueError('on rank {rank}')"
        assert here["together"][1 - rank] == "SystemExit(2)" and here["together"][2] == "7"
        assert here["from first"] == [("SystemExit(2)" if rank else "ValueError('on rank 0')"), "7"]
        assert "of 3 process(es), here are 2; go on with torchrun --nproc-per-node 3" in here["other number"]
        assert here["shown"] == (rank == 0)


def test_who_is_left_alone_says_so(found: dict) -> None:
    assert found["lost"].startswith("process 0 of 2: another process of this run has ended or does not answer (")


def test_alone_nothing_is_agreed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    distributed.join()
    grad = torch.ones(3)
    distributed.average_gradients(grad, 0)
    assert grad.tolist() == [1, 1, 1] and (distributed.rank(), distributed.size(), distributed.seed(7)) == (0, 1, 7)
    assert distributed.gather(3) == distributed.gather_first(3) == [3] and distributed.total(3) == 3
    distributed.leave()


def test_half_an_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in distributed.NEEDED:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(distributed.Refused, match="RANK, MASTER_ADDR, MASTER_PORT is not set; start with torchrun"):
        distributed.join()


if __name__ == "__main__":
    program(Path(sys.argv[1]))
