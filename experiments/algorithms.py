"""The algorithms by name, and their presets: settings that are known to do well, by id."""

import fnmatch
import importlib
import tomllib
from pathlib import Path
from typing import Any

from experiments.errors import check_known

ALGORITHMS = {
    "q": ("agents.tabular_q", "Q-learning or SARSA with a table: Discrete observations and actions"),
    "dqn": ("agents.dqn", "deep Q-network: Discrete actions"),
    "ddpg": ("agents.ddpg", "deep deterministic policy gradient: Box actions"),
    "ppo": ("agents.ppo", "proximal policy optimisation: Discrete, MultiDiscrete or Box actions"),
    "league": ("experiments.selfplay", "PPO in all seats of a world of two teams, against itself and its past"),
}
"""Name -> (module, what it is for). A module is imported when it is asked for."""

PRESETS = Path(__file__).parent / "presets"


def load_algorithm(name: str) -> Any:
    """The module of an algorithm.

    Raises:
        InputError: no such algorithm, with the nearest that there is.
    """
    check_known("algorithm", name, ALGORITHMS)
    return importlib.import_module(ALGORITHMS[name][0])


def preset(algorithm: str, env_id: str, env_options: dict[str, Any] | None = None) -> dict[str, Any]:
    """Fields of Config for an environment: of all patterns in presets/<algorithm>.toml that match, later ones win.

    A pattern matches the id, or the id with one option behind it: "quintet/GridWorld-v0 level=cliff".
    """
    path = PRESETS / f"{algorithm}.toml"
    if not path.exists():
        return {}
    names = [env_id] + [f"{env_id} {key}={value}" for key, value in (env_options or {}).items()]
    found: dict[str, Any] = {}
    for pattern, values in tomllib.loads(path.read_text()).items():
        if any(fnmatch.fnmatchcase(name, pattern) for name in names):
            found |= values
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
