"""`quintet bench gpu`, tried out on the CPU."""

import json

import numpy as np
import pytest

import envs
from agents.rollout import Collector
from experiments.bench import gpu as bench_gpu
from experiments.cli import main


def test_every_tier_is_measured_written_and_drawn(tmp_path, capsys):
    out = tmp_path / "bench.json"
    words = (
        "bench gpu --device cpu --world quintet/CartPole-v1 --counts 8 --epochs 1 --precision float32 --seconds 0.05"
    )
    assert main([*words.split(), "--tier", "code", "simulation", "inference", "training", "--out", str(out)]) == 0
    document = json.loads(out.read_text())
    assert [figure["tier"] for figure in document["figures"]] == ["simulation", "inference", "training"]
    assert all(figure["steps_per_second"] > 0 and figure["commit"] for figure in document["figures"])
    assert document["code"][0]["spills"] == 0
    assert out.with_suffix(".png").stat().st_size > 5000
    assert "CartPole" in capsys.readouterr().out
    assert main([*words.split(), "--tier", "inference", "--out", str(out)]) == 0
    again = json.loads(out.read_text())
    simulation, _, training = document["figures"]
    assert again["figures"][:2] == [simulation, training] and again["code"] == document["code"]
    assert again["figures"][2] != document["figures"][1] and len(again["figures"]) == 3
    assert [one["command"].partition(" --tier")[2] for one in again["commands"]] == [
        " code simulation inference training --counts 8 --epochs 1 --precision float32 --seconds 0.05 --device cpu",
        " inference --counts 8 --epochs 1 --precision float32 --seconds 0.05 --device cpu",
    ]


def test_worlds_with_scripted_players_are_measured_in_all_stages_of_a_game(tmp_path):
    out = tmp_path / "bench.json"
    words = "bench gpu --device cpu --world quintet/Duel-v0 --counts 70 --precision float32 --seconds 0.05 --apart 3"
    assert main([*words.split(), "--tier", "simulation", "scripted", "--out", str(out)]) == 0
    figures = json.loads(out.read_text())["figures"]
    assert [figure["tier"] for figure in figures] == ["simulation", "scripted"]
    assert all(figure["steps_per_second"] > 0 for figure in figures)
    games = bench_gpu.midgame("quintet/Duel-v0", "cpu", 3)
    worlds = envs.make_vec("quintet/Duel-v0", 2200, num_threads=1)
    bench_gpu.set_out(Collector(worlds), games, 0)
    ticks = worlds.state["tick"]
    assert len(games) == 1056 and len(np.unique(ticks)) == 32 and ticks.max() == 31 * 3
    assert len(np.unique(worlds.state["key"])) == 2200 and not worlds.state["control"].any()


def test_the_floor_counts_bytes_and_operations():
    figure = {
        "obs_bytes": 100,
        "kept_obs_bytes": 50,
        "record_bytes": 500,
        "rows": 20,
        "worlds": 2,
        "parameters": 1000,
        "epochs": 2,
    }
    rates = {"bytes": 1e9, "operations": 1e9}
    alone = bench_gpu.floor(figure | {"tier": "simulation", "steps_per_second": 1e6}, rates)
    assert alone["moved_bytes"] == 2 * 500 / 10 + 100
    assert alone["operations"] == 0
    assert alone["share_of_floor"] == pytest.approx(200 / 1e9 * 1e6)
    learning = bench_gpu.floor(figure | {"tier": "training", "steps_per_second": 1e3}, rates)
    assert learning["moved_bytes"] == 100 + 100 + 50 * (1 + 1 + 6)
    assert learning["operations"] == 1000 * (2 + 2 + 12)
    assert learning["bound_by"] == "operations"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--world quintet/CartPol-v1", "did you mean 'quintet/CartPole-v1'"),
        ("--tier trainin", "did you mean 'training'"),
    ],
)
def test_what_there_is_not_is_refused(words, said, capsys):
    assert main(["bench", "gpu", "--device", "cpu", *words.split()]) != 0
    assert said in capsys.readouterr().err
