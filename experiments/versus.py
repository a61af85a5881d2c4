"""`quintet play RUN --versus WHOM`: two teams in one world, watched, or joined by a person, whose games are logged."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from openskill.models import PlackettLuce

from experiments import runs
from experiments.errors import InputError
from experiments.matches import Player, Teams
from experiments.pictures import Painter
from experiments.progress import say_cut_off
from experiments.ratings import level_names
from experiments.trained import load_policy

PERSON = "you"
LOG = "human_games.jsonl"
"""In the folder of runs: a line for each game of a person."""


def is_match(envs: Any) -> bool:
    """Whether a batch is of worlds of two teams that say who won."""
    world = getattr(envs, "world", None)
    return world is not None and world.num_seats % 2 == 0 and {"won", "lost"} <= set(world.statistics)


def check_match(envs: Any) -> None:
    """Raises `InputError` for a world that is no match of two teams."""
    if not is_match(envs):
        raise InputError(f"a match needs a world of two teams, such as quintet/Duel-v0, and {envs.world.name} is none")


def player_of(name: str, envs: Any, runs_dir: str, checkpoint: str | None = None) -> Player:
    """Who is meant: a scripted player of the world, "random", or a run's trained policy.

    Raises:
        InputError: nobody of this name, or a policy of another world.
    """
    check_match(envs)
    names = level_names(envs.world.scripted_levels)
    if name in names:
        return Player(name, level=names.index(name) + 1)
    if name == "random":
        return Player(name)
    try:
        run = runs.find(name, runs_dir)
    except InputError as error:
        raise InputError(f"{error}; or one of {', '.join(names)}, random") from error
    config = runs.read_config(run)
    policy = load_policy(config, runs.find_checkpoint(run, checkpoint), envs)
    return Player(run.name, policy=policy, every=holds(config, envs))


def holds(config: runs.RunConfig, envs: Any) -> int:
    """Steps of a world for which a run's policy holds an action, as it did where it learned.

    Raises:
        InputError: the world's steps are too long for that.
    """
    theirs, ours = int(config.env_options.get("frame_skip", 1)), envs.world.frame_skip
    if theirs % ours:
        raise InputError(f"a policy that acts every {theirs} ticks can't play in steps of {ours}; use frame_skip 1")
    return theirs // ours


def tick_by_tick(options: dict[str, Any]) -> dict[str, Any]:
    """An environment's options with steps of a tick, in which games are watched and people play."""
    return {name: value for name, value in options.items() if name != "frame_skip"}


def best_scripted(envs: Any) -> str:
    """The name of the world's best scripted player.

    Raises:
        InputError: a world that is no match of two teams.
    """
    check_match(envs)
    return (level_names(envs.world.scripted_levels) or ["random"])[-1]


def around(envs: Any, options: Any, run: str | None) -> tuple[Teams, str]:
    """Who plays beside and against a person, and the name of the latter.

    Args:
        envs: one world, all seats.
        options: `play.Options`: the seat, whom it is against (the run itself by default).
        run: whose agent plays beside the person; None: the world's scripted players.
    """
    check_match(envs)
    level = (envs.world.scripted or (1,) * envs.num_seats)[options.seat]
    mates = Player("script", level=level) if run is None else player_of(run, envs, options.runs_dir, options.checkpoint)
    enemies = mates if options.versus is None else player_of(options.versus, envs, options.runs_dir)
    sides = (mates, enemies) if options.seat < envs.num_seats // 2 else (enemies, mates)
    best = not options.stochastic
    return Teams(envs, *sides, options.seed, deterministic=best, free=(options.seat,)), enemies.name


def scripted_against(envs: Any, seat: int) -> str:
    """The name of the scripted players that hold the other team."""
    if not is_match(envs):
        return ""
    levels, half = envs.world.scripted or (1,) * envs.world.num_seats, envs.world.num_seats // 2
    return level_names(envs.world.scripted_levels)[levels[half if seat < half else 0] - 1]


def watch(envs: Any, teams: Teams, screen: Any, seed: int, episodes: int, max_steps: int) -> list[str]:
    """Plays `episodes` games (0: no end), at most `max_steps` (0: no end), on a screen; prints a line for each.

    Args:
        envs: one world, all seats, that resets in the step after a game's end.
        teams: who plays.
        screen: `show(picture, title) -> go on`, and `look`.

    Returns:
        the winner's name, or "" for a draw, of each game that ended.
    """
    painter, winners = Painter(envs), list[str]()
    obs, infos = envs.reset(seed=seed)
    starts, ended = torch.ones(envs.num_envs, dtype=torch.bool), False
    names = [player.name for player in teams.players]
    title = f"{names[0]} against {names[1]}"
    go_on, step = screen.show(painter.picture(), title), 0
    while go_on and (len(winners) < episodes or not episodes):
        if 0 < max_steps <= step:
            say_cut_off(max_steps)
            break
        step += 1
        obs, _, _, _, infos = envs.step(teams.act(obs, infos["action_mask"], starts))
        starts, ended = torch.full_like(starts, ended), "episode" in infos
        if ended:
            winners.append(winner(infos["episode"], names))
            print(f"game {len(winners)}: {outcome(envs, infos['episode'], names)}", flush=True)
        painter.set_look(screen.look)
        go_on = screen.show(painter.picture(), title)
    return winners


def winner(episode: dict[str, Any], names: list[str]) -> str:
    """The name of the team that won, "" for nobody, by what `infos["episode"]` says of one world."""
    won, lost = float(episode["won"][0]), float(episode["lost"][0])
    return "" if won == lost else names[int(lost > won)]


def outcome(envs: Any, episode: dict[str, Any], names: list[str]) -> str:
    """A game's end in words: who won, when, and the kills where the world counts them."""
    who, steps = winner(episode, names), int(episode["l"][0])
    seconds = round(steps * envs.world.step_seconds * envs.world.frame_skip)
    clock = f"after {seconds // 60}:{seconds % 60:02}" if seconds else f"in {steps} steps"
    kills = ""
    if "kills" in episode:
        sides = np.asarray(episode["kills"]).reshape(2, -1).sum(1).astype(int)
        kills = f", kills {sides[0]}:{sides[1]}"
    return f"{who} won {clock}{kills}" if who else f"a draw {clock}{kills}"


def log_game(runs_dir: str | Path, world: str, against: str, episode: dict[str, Any], row: int) -> str:
    """Adds a person's game to the log and rates everybody in it.

    Args:
        runs_dir: the folder of runs, where the log is.
        world: its id.
        against: the name of the other team's player.
        episode: what `infos["episode"]` says of it.
        row: the person's.

    Returns:
        the person's rating and the opponent's after all games of this world, in a line.
    """
    path, length = Path(runs_dir) / LOG, int(episode["l"][row])
    points = 0.5 + 0.5 * float(episode["won"][row] - episode["lost"][row])
    game = {"time": time.strftime("%Y-%m-%d %H:%M:%S"), "world": world, "against": against, "points": points}
    ratings = rate_games([*read_log(path, world), game])
    you, other = ratings[PERSON], ratings[against]
    game |= {"length": length, "rating": round(you[0], 2), "rating_sigma": round(you[1], 2)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(game) + "\n")
    return f"ratings: you {you[0]:.1f} ± {you[1]:.1f}, {against} {other[0]:.1f} ± {other[1]:.1f} ({path})"


def read_log(path: Path, world: str) -> list[dict[str, Any]]:
    """A person's games in one world, the oldest first.

    Raises:
        InputError: a line that is no game.
    """
    if not path.exists():
        return []
    try:
        games = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        return [game for game in games if game["world"] == world]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} holds a line that is no game ({error}); mend it or move it away") from error


def rate_games(games: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """OpenSkill ratings (mean, standard error) by name, from all games in their order."""
    model = PlackettLuce()
    ratings = {name: model.rating() for name in dict.fromkeys([PERSON, *(game["against"] for game in games)])}
    for game in games:
        you, other = ratings[PERSON], ratings[game["against"]]
        ranks = [2 - game["points"], 1 + game["points"]]
        ((ratings[PERSON],), (ratings[game["against"]],)) = model.rate([[you], [other]], ranks=ranks)
    return {name: (rating.mu, rating.sigma) for name, rating in ratings.items()}
