"""Two teams in one world, watched or joined by a person: who plays where, who won, and the log of a person's games."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import envs
from agents import ppo
from experiments import versus
from experiments.cli import main
from experiments.errors import InputError
from experiments.matches import Player, Teams, match
from experiments.play import Options

EASY, HARD = Player("easy", 1), Player("hard", 3)


def one_duel() -> Any:
    return envs.make_vec("quintet/Duel-v0", 1, autoreset_mode="NextStep", num_threads=1)


class Screen:
    """Counts pictures."""

    look, shown, title = 0, 0, ""

    def show(self, picture: Any, title: str) -> bool:
        self.shown, self.title = self.shown + 1, title
        return True


def test_the_better_team_wins_from_both_sides(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr("experiments.pictures.Painter.picture", lambda self: None)
    batch, screen = one_duel(), Screen()
    for players in ((HARD, Player("random")), (Player("random"), HARD)):
        teams = Teams(batch, *players)
        assert versus.watch(batch, teams, screen, seed=1, episodes=2, max_steps=0) == ["hard", "hard"]
    assert screen.title == "random against hard"
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and all("hard won after " in line and ", kills " in line for line in lines)
    assert versus.watch(batch, teams, screen, seed=1, episodes=0, max_steps=5) == []


def test_a_recurrent_team_is_told_where_games_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.pictures.Painter.picture", lambda self: None)
    batch, began = one_duel(), []
    config = ppo.Config(memory="gru", memory_size=8, hidden_sizes=(8,))
    policy = ppo.make_policy(batch, config)
    act = policy.act

    def watched(obs: Any, mask: Any, memory: Any, starts: torch.Tensor, **rest: Any) -> Any:
        began.append(bool(starts.all()))
        return act(obs, mask, memory, starts, **rest)

    policy.act = watched  # pyright: ignore
    versus.watch(batch, Teams(batch, Player("me", policy=policy), HARD), Screen(), seed=1, episodes=2, max_steps=0)
    first, second = [place for place, one in enumerate(began) if one]
    assert first == 0 and second < len(began) - 1


def test_a_person_has_a_seat_beside_mates_and_against_whom_he_names() -> None:
    batch = envs.make_vec("quintet/Arena-v0", 1, autoreset_mode="NextStep", num_threads=1)
    options: Any = Options(run="quintet/Arena-v0", human=True, seat=6, versus="hard")
    teams, against = versus.around(batch, options, None)
    batch.reset(seed=1)
    assert against == "hard" and batch.state["control"][0].tolist() == [3] * 5 + [2, 0, 2, 2, 2]
    assert teams.players[0].name == "hard"
    assert versus.scripted_against(batch, 0) == "medium"


def episode(won: int, lost: int) -> dict[str, Any]:
    return {"won": [won, lost], "lost": [lost, won], "l": [300, 300], "kills": [2, 1]}


def test_the_winner_is_named() -> None:
    batch = SimpleNamespace(world=SimpleNamespace(step_seconds=0.2, frame_skip=1))
    names = ["a", "b"]
    assert versus.outcome(batch, episode(1, 0), names) == "a won after 1:00, kills 2:1"
    assert versus.outcome(batch, episode(0, 1), names) == "b won after 1:00, kills 2:1"
    assert versus.outcome(batch, episode(0, 0), names) == "a draw after 1:00, kills 2:1"


def test_a_persons_games_are_logged_and_rated_world_by_world(tmp_path: Path) -> None:
    path = tmp_path / "runs" / versus.LOG
    for won in (1, 1, 1):
        line = versus.log_game(path.parent, "Duel", "easy", episode(won, 1 - won), row=0)
    versus.log_game(path.parent, "Duel", "hard", episode(1, 0), row=1)
    versus.log_game(path.parent, "Arena", "hard", episode(1, 0), row=0)
    games = [json.loads(text) for text in path.read_text().splitlines()]
    assert [game["points"] for game in games] == [1, 1, 1, 0, 1] and games[0]["length"] == 300
    assert games[2]["rating"] > games[1]["rating"] > games[0]["rating"] and games[3]["rating"] < games[2]["rating"]
    assert games[4]["rating"] == games[0]["rating"], "another world, another rating"
    assert "you 3" in line and "easy" in line
    path.write_text(path.read_text() + "nothing\n")
    with pytest.raises(InputError, match="holds a line that is no game"):
        versus.log_game(path.parent, "Duel", "easy", episode(1, 0), row=0)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("quintet/CartPole-v1 --human --versus hard", "needs a world of two teams"),
        ("quintet/Duel-v0 --human --versus best", "or one of easy, medium, hard, random"),
    ],
)
def test_bad_requests(words: str, answer: str, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    assert main(["play", *words.split(), "--runs-dir", str(tmp_path)]) == 2
    assert answer in capsys.readouterr().err


def test_the_policy_that_comes_trained_beats_the_hard_player() -> None:
    def make(number: int, seed: int) -> Any:
        return envs.make_vec(
            "quintet/Duel-v0", number, seed=seed, seats="all", num_threads=1, autoreset_mode="Disabled"
        )

    player = versus.player_of("duel", one_duel(), "runs")
    tally = match(make, player, HARD, 40, seed=5, deterministic=True)
    assert tally.won >= 34, "98% of 1,000 games; fewer than 34 of 40 would come once in 50,000 times"
