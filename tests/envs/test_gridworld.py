"""GridWorld: levels, rules, exact models and observations."""

from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

import envs
from envs.gridworld import LEGEND, level_names, load_level, parse_level, world
from envs.gridworld.levels import LETTERS
from envs.gridworld.model import Model, action_values, optimal_values, policy_value, transition_model
from envs.gridworld.rules import CHANNELS, DOWN, LEFT, RIGHT, UP

ID = "quintet/GridWorld-v0"
CORRIDOR = "S.G\n###\n"


def walk(actions: list[int], **options) -> tuple[list[int], list[float], list[bool]]:
    """Observations (the first is the reset's), rewards and ends of a walk in one world that doesn't start anew."""
    grid = envs.make_vec(ID, 1, seed=0, autoreset_mode="Disabled", **options)
    seen, rewards, ended = [int(grid.reset(seed=0)[0])], [], []
    for action in actions:
        obs, reward, terminated, _, _ = grid.step(torch.tensor([action]))
        seen.append(int(obs))
        rewards.append(round(float(reward), 6))
        ended.append(bool(terminated))
    return seen, rewards, ended


def gymnasium_model(id: str) -> Model:
    """Gymnasium's own table P as a `Model`."""
    env = gymnasium.make(id).unwrapped
    rows = [(s, a, *outcome) for s, by in env.P.items() for a, outcomes in by.items() for outcome in outcomes]  # pyright: ignore
    s, a, probability, next_state, reward, terminated = map(np.array, zip(*rows, strict=True))
    return Model(s, a, next_state, probability, reward, terminated, np.array(env.initial_state_distrib))  # pyright: ignore


def dense(model: Model, actions: list[int]) -> np.ndarray:
    """P(s', r, end | s, a) as an array `[S, A, S, 3]` of probability, probability * reward, probability of ending.

    `actions` says which of our actions each of the model's is.
    """
    found = np.zeros((model.num_states, len(actions), model.num_states, 3))
    index = (model.state, np.array(actions)[model.action], model.next_state)
    for k, weight in enumerate((1.0, model.reward, model.terminated)):
        np.add.at(found[..., k], index, model.probability * weight)
    return found


@pytest.mark.parametrize(
    ("level", "id", "actions"),
    [
        ("frozen_lake_4x4", "FrozenLake-v1", [0, 1, 2, 3]),
        ("frozen_lake_8x8", "FrozenLake8x8-v1", [0, 1, 2, 3]),
        ("cliff", "CliffWalking-v1", [UP, RIGHT, DOWN, LEFT]),
    ],
)
def test_model_equals_gymnasiums(level, id, actions):
    """The same P, R and ends from every state that an episode can act in."""
    cells = "".join(load_level(level).rows)
    acting = [state for state, letter in enumerate(cells) if letter in "S.~"]
    ours, theirs = dense(transition_model(world(level)), [0, 1, 2, 3]), dense(gymnasium_model(id), actions)
    np.testing.assert_allclose(ours[acting], theirs[acting], atol=1e-12)


@pytest.mark.parametrize(
    ("level", "best"), [("frozen_lake_4x4", 0.7442), ("frozen_lake_8x8", 0.9132), ("cliff", -13), ("four_rooms", 0.84)]
)
def test_optimal_return(level, best):
    """The known optimum within the level's time limit."""
    model = transition_model(world(level))
    values = optimal_values(model, horizon=load_level(level).max_episode_steps)
    assert model.start @ values == pytest.approx(best, abs=5e-5)


@pytest.mark.parametrize("level", level_names())
def test_every_level_can_be_solved(level):
    """The discounted-greedy policy reaches the goal within the limit from every start."""
    model, limit = transition_model(world(level, slippery=False)), load_level(level).max_episode_steps
    policy = action_values(model, optimal_values(model, 0.99), 0.99).argmax(axis=1)
    goals = model._replace(reward=((model.reward == model.reward.max()) & model.terminated).astype(float))
    if level != "cliff":
        assert policy_value(goals, policy, horizon=limit) == pytest.approx(1.0)
    assert policy_value(model, policy, horizon=limit) > -14


@pytest.mark.parametrize("level", ["frozen_lake_4x4", "key_door", "S~~\n~CC\nS~G\n"])
def test_sampled_steps_follow_the_model(level):
    """Frequencies over random play, by chi-square against the model: ice, the key, and cliffs with two starts."""
    model = transition_model(world(level))
    expected = np.zeros((model.num_states, 4, model.num_states))
    np.add.at(expected, (model.state, model.action, model.next_state), model.probability)
    grid, counts = envs.make_vec(ID, 512, seed=3, level=level), np.zeros_like(expected)
    generator = torch.Generator().manual_seed(1)
    obs, _ = grid.reset()
    for _ in range(200):
        actions = torch.randint(0, 4, (512,), generator=generator)
        next_obs, _, _, _, infos = grid.step(actions)
        ends = torch.where(infos["_final_obs"], infos["final_obs"], next_obs) if "final_obs" in infos else next_obs
        np.add.at(counts, (obs.numpy(), actions.numpy(), ends.numpy()), 1)
        obs = next_obs
    assert not counts[expected == 0].any()
    predicted = expected * counts.sum(axis=2, keepdims=True)
    seen = predicted > 5
    chi_square = ((counts - predicted)[seen] ** 2 / predicted[seen]).sum()
    assert chi_square < seen.sum() + 5 * np.sqrt(2 * seen.sum())


def test_walls_goal_and_rewards():
    """A corridor: the bump costs a step, the goal pays and ends."""
    seen, rewards, ended = walk([LEFT, DOWN, RIGHT, RIGHT], level=CORRIDOR, step_reward=-0.5, goal_reward=2.0)
    assert seen == [0, 0, 0, 1, 2]
    assert rewards == [-0.5, -0.5, -0.5, 2.0]
    assert ended == [False, False, False, True]


def test_cliff_hurts_and_puts_back():
    """Off the cliff: -100, back at the start, and on it goes."""
    seen, rewards, ended = walk([UP, RIGHT, DOWN, UP], level="cliff")
    assert seen == [36, 24, 25, 36, 24]
    assert rewards == [-1, -1, -100, -1]
    assert not any(ended)


def test_hole_ends():
    """Down a hole: its reward, the end."""
    assert walk([RIGHT], level="SHG\n", hole_reward=-3.0) == ([0, 1], [-3.0], [True])


def test_key_opens_the_door():
    """A door is a wall without the key; the key doubles the states."""
    seen, _, ended = walk([RIGHT, LEFT, LEFT, RIGHT, RIGHT, RIGHT], level="KSDG\n")
    assert seen == [1, 1, 4, 4, 5, 6, 7]
    assert ended == [False] * 5 + [True]


def test_slippery_option():
    """Ice slips by default and not with slippery=False; floor slips with slippery=True."""
    for slippery, letter, slips in [(None, "~", True), (False, "~", False), (True, ".", True), (None, ".", False)]:
        model = transition_model(world(f"...\nS{letter}S\n..G\n", slippery=slippery))
        assert (((model.state == 4) & (model.action == UP)).sum() > 2) == slips


def test_levels_of_one_batch():
    """World i plays level i % 2; their states don't meet, and each has its own limit."""
    levels = ["open", "key_door"]
    grid = envs.make_vec(ID, 4, level=levels)
    first = load_level("open").num_states
    assert grid.single_observation_space == gymnasium.spaces.Discrete(first + 2 * 8 * 11)
    obs, _ = grid.reset(seed=0)
    assert obs.tolist() == [0, first + 12, 0, first + 12]
    assert grid.params.max_episode_steps.tolist() == [100, 200]
    for _ in range(100):
        results = grid.step(torch.full((4,), UP))
    assert results[3].tolist() == [True, False, True, False]


def test_several_starts_are_drawn():
    """Each start of four_rooms begins about a quarter of the episodes."""
    obs, _ = envs.make_vec(ID, 4096, level="four_rooms").reset(seed=5)
    states, counts = np.unique(obs.numpy(), return_counts=True)
    assert len(states) == 4
    assert (abs(counts - 1024) < 140).all()


def test_egocentric_view():
    """Seven kinds of cell, wall beyond the map, and the key's plane; a taken key and its doors are gone."""
    level = "KSD\n~CH\n#.G\n"
    grid = envs.make_vec(ID, 1, level=level, observation="egocentric", view_size=3, autoreset_mode="Disabled")
    obs, _ = grid.reset(seed=0)
    assert obs.shape == (1, 8, 3, 3)
    assert obs.dtype == torch.float32
    view = {name: obs[0, i].int().tolist() for i, name in enumerate(CHANNELS)}
    assert view["wall"] == [[1, 1, 1], [0, 0, 0], [0, 0, 0]]
    assert view["key"][1] == [1, 0, 0]
    assert view["door"][1] == [0, 0, 1]
    assert [view[name][2] for name in ("ice", "cliff", "hole")] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert obs[0].sum(dim=0).max() == 1
    grid.step(torch.tensor([LEFT]))
    obs = grid.step(torch.tensor([RIGHT]))[0]
    assert obs[0, CHANNELS.index("has_key")].min() == 1
    assert obs[0, CHANNELS.index("key")].max() == 0
    assert obs[0, CHANNELS.index("door")].max() == 0
    assert grid.obs_layout is not None
    field = grid.obs_layout["wall"]
    assert obs.reshape(1, -1)[0, field.slice].reshape(field.shape)[0].tolist() == [1, 1, 1]


def test_level_from_file_and_string(tmp_path: Path):
    """The same level by path, by `Path`, and as an indented string."""
    text = """
        goal_reward: 5
        slippery: no

        S~
        .G
    """
    path = tmp_path / "my.txt"
    path.write_text(text)
    by_string, by_path, by_name = load_level(text), load_level(path), load_level(str(path))
    assert by_string.rows == by_path.rows == by_name.rows == ("S~", ".G")
    assert by_path.goal_reward == 5
    assert by_path.slippery is False
    assert by_string.max_episode_steps == 100
    assert gymnasium.make(ID, level=str(path)).observation_space == gymnasium.spaces.Discrete(4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("S..\n...\n", r"lines 1 to 2, columns 1 to 3: there is no goal; write G"),
        ("...\n..G\n", r"lines 1 to 2, columns 1 to 3: there is no start; write S"),
        ("S..\n....\n..G\n", r"line 2, column 4: this row has 4 cells and line 1 has 3"),
        ("S..\n..\n..G\n", r"line 2, column 3: this row has 2 cells and line 1 has 3"),
        ("S..\n\n..G\n", r"line 2, column 1: this row has 0 cells"),
        ("S..\n.x.\n..G\n", r"line 2, column 2: unknown letter 'x'; use # wall"),
        ("\n\n  S..\n  ..?\n  ..G\n", r"line 4, column 5: unknown letter '\?'"),
        ("\n", "there is no map"),
        ("step_rewar: 1\n\nSG\n", r"line 1, column 1: unknown setting 'step_rewar' \(did you mean 'step_reward'"),
        ("step_reward: x\n\nSG\n", r"line 1, column 13: step_reward needs a number, got 'x'"),
        ("slippery: maybe\nSG\n", r"line 1, column 10: slippery needs yes or no, got 'maybe'"),
        ("max_episode_steps: -1\nSG\n", r"max_episode_steps needs an integer, 0 for no limit, got '-1'"),
    ],
)
def test_bad_levels(text, message):
    """An error names line and column, what is wrong and what to do."""
    with pytest.raises(ValueError, match=message):
        parse_level(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "four_room"}, r"no level 'four_room' \(did you mean 'four_rooms'"),
        ({"level": "nowhere/my.txt"}, "no level 'nowhere/my.txt'"),
        ({"level": []}, "empty list"),
        ({"observation": "egocentrik"}, "did you mean 'egocentric'"),
        ({"observation": "egocentric", "view_size": 4}, "view_size must be odd"),
        ({"levl": "open"}, "did you mean 'level'"),
    ],
)
def test_bad_options(options, message):
    """A wrong option names the nearest right one."""
    with pytest.raises(ValueError, match=message):
        envs.make_vec(ID, 1, **options)


def test_saved_state_outside_the_level_is_refused():
    """Compiled code must not index beyond the map."""
    grid = envs.make_vec(ID, 2, level="open")
    grid.reset(seed=0)
    grid.state.row[1] = 9
    with pytest.raises(ValueError, match="outside its level"):
        grid.load_state(grid.save_state())


def test_letters_are_one_table():
    """Every letter of the built-in levels is in the legend, and every letter of the legend has a use."""
    used = {letter for name in level_names() for row in load_level(name).rows for letter in row}
    assert used == set(LETTERS) == set(LEGEND)


@pytest.mark.parametrize("level", level_names())
@pytest.mark.parametrize("observation", ["discrete", "egocentric"])
def test_renders(level, observation):
    """A picture with more than one colour, which changes with the state."""
    env = gymnasium.make(ID, level=level, observation=observation, slippery=False, render_mode="rgb_array")
    env.reset(seed=0)
    before = np.asarray(env.render())
    assert before.dtype == np.uint8
    assert len(np.unique(before.reshape(-1, 3), axis=0)) > 5
    for action in (RIGHT, UP, DOWN, LEFT):
        env.step(action)
        if (np.asarray(env.render()) != before).any():
            return
    pytest.fail("four moves changed nothing in the picture")


def test_rewards_may_change_in_play_and_the_map_may_not() -> None:
    env = envs.make_vec("quintet/GridWorld-v0", 2, level="open")
    env.reset()
    env.set_params(goal_reward=3.0)
    with pytest.raises(ValueError, match="width belongs to the level"):
        env.set_params(width=99)
    assert env.params.goal_reward.tolist() == [3.0] and env.params.width[0] != 99
