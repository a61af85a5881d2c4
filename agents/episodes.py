"""Episodes that ended while a collector played: their returns and lengths, and what the envs say of them."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents import distributed

NOT_STATISTICS = ("r", "l", "t")
"""What Gymnasium's own statistics wrapper gives: return, length and time."""


class Episodes:
    """Counts the learner's episodes, raw and in order of time, over rollouts of `num_envs` rows.

    Attributes:
        returns, lengths: float64 and int64 `[num_envs]`, of the episodes under way.
    """

    def __init__(self, num_envs: int) -> None:
        self.returns, self.lengths = np.zeros(num_envs), np.zeros(num_envs, np.int64)
        self._ended: list[tuple[float, int]] = []
        self._statistics: dict[str, list[float]] = {}
        self._told: list[tuple[int, dict[str, Any], Tensor]] = []
        self._games: list[tuple[Tensor, Tensor, dict[str, Any]]] = []

    def note(self, t: int, infos: dict[str, Any], owner: Tensor) -> None:
        """Keeps for `count` what `infos["episode"]` of step t, or of its `final_info`, says beside what is in
        `NOT_STATISTICS`.

        Args:
            t: the step of the rollout that is being played.
            infos: of the envs' step.
            owner: who plays each row: see `Owners.owner`.
        """
        told, final = infos.get("episode"), infos.get("final_info")
        if not (isinstance(told, dict) and told) and isinstance(final, dict):
            told = final.get("episode")
        if isinstance(told, dict) and any(name[0] != "_" and name not in NOT_STATISTICS for name in told):
            self._told.append((t, told, owner.clone()))

    def count(self, rollout: Any, any_ended: bool, opponents: bool) -> None:
        """Counts in a rollout.

        Args:
            rollout: played to its end.
            any_ended: False where it is known that no episode ended.
            opponents: whether there were any, so that games are noted for `pop_games`.
        """
        rewards, valid = rollout.rewards.cpu().numpy(), rollout.valid.cpu().numpy()
        counted = rewards if rollout.all_valid else rewards * valid
        if not any_ended:
            self._told.clear()
            return self._count_steps(counted, valid)
        ended, begin = rollout.terminated.cpu().numpy() | rollout.truncated.cpu().numpy(), 0
        for t in np.flatnonzero(ended.any(axis=1)).tolist():
            self._count_steps(counted[begin : t + 1], valid[begin : t + 1])
            begin = t + 1
            mine = ended[t] & valid[t]
            self._ended += zip(self.returns[mine].tolist(), self.lengths[mine].tolist(), strict=True)
            self.returns[ended[t]] = 0
            self.lengths[ended[t]] = 0
        self._count_steps(counted[begin:], valid[begin:])
        self._count_statistics(rollout, opponents)

    def _count_steps(self, rewards: np.ndarray, valid: np.ndarray) -> None:
        """Adds steps `[t, N]` to the episodes under way; of one step there is no sum."""
        if len(rewards):
            self.returns += rewards[0] if len(rewards) == 1 else rewards.sum(axis=0, dtype=np.float64)
            self.lengths += valid[0] if len(valid) == 1 else valid.sum(axis=0)

    def _count_statistics(self, rollout: Any, opponents: bool) -> None:
        everything, self._told = self._told, []
        for t, told, owner in everything:
            ended = rollout.terminated[t] | rollout.truncated[t]
            if opponents:
                self._games.append((owner, ended.clone(), told))
            mine = (ended & rollout.valid[t]).cpu().numpy()
            for name, values in told.items():
                row = np.asarray(values.cpu() if isinstance(values, Tensor) else values)
                known = name[0] == "_" or name in NOT_STATISTICS
                if not known and row.shape == mine.shape and row.dtype.kind in "iufb":
                    values = np.where(np.asarray(told.get(f"_{name}", True)), row, np.nan)
                    self._statistics.setdefault(name, []).extend(values[mine].tolist())

    def note_games(self, rollout: Any, names: tuple[str, ...]) -> None:
        """Notes for `pop_games` what `count` could not, where horizons are of fixed operations and are replayed.

        Args:
            rollout: of such a horizon.
            names: of the world's statistics.
        """
        ended = rollout.terminated | rollout.truncated
        for t in ended.any(1).nonzero().flatten().tolist():
            told = rollout.ends.statistics[t].clone().unbind(1)
            self._games.append((rollout.ends.owner[t].clone(), ended[t].clone(), dict(zip(names, told, strict=True))))

    def add(self, other: "Episodes") -> None:
        """Takes over what ended elsewhere since it was last asked for."""
        self._ended += other.pop()
        for name, values in other.pop_statistics().items():
            self._statistics.setdefault(name, []).extend(values)

    def pop(self) -> list[tuple[float, int]]:
        """(return, length) of the learner's episodes that ended since the last call."""
        episodes, self._ended = self._ended, []
        return episodes

    def pop_statistics(self) -> dict[str, list[float]]:
        """What else the envs said of the learner's episodes that ended since the last call; NaN where one said
        nothing."""
        statistics, self._statistics = self._statistics, {}
        return statistics

    def pop_games(self) -> list[tuple[Tensor, Tensor, dict[str, Any]]]:
        """Of each step since the last call in which episodes ended while opponents played.

        Returns:
            who played each row, int64 `[num_envs]` (see `Owners.owner`), which rows ended, bool `[num_envs]`, and what
            the envs said of them, `infos["episode"]`.
        """
        games, self._games = self._games, []
        return games

    def pop_metrics(self, tallied: dict[str, tuple[float, int]]) -> dict[str, float]:
        """Means of all ranks' `pop` and `pop_statistics` by the names logged; empty if no episode ended.

        Whatever else `infos["episode"]` gave, such as a world's statistics, is averaged as "charts/episodic_<name>".

        Args:
            tallied: by name the sum and the number of what was counted elsewhere: see `horizon.Tally`.
        """
        statistics, episodes = self.pop_statistics(), self.pop()
        columns: dict[str, Any] = {}
        if episodes:
            columns = dict(zip(("return", "length"), zip(*episodes, strict=True), strict=True))
            columns |= {name: values for name, values in without_nans(statistics).items() if name not in columns}
        mine = {name: (sum(column), len(column)) for name, column in columns.items() if column}
        sums = distributed.gather(tallied | mine)
        found = {}
        for name in dict.fromkeys(name for its_sums in sums for name in its_sums):
            parts = [its_sums[name] for its_sums in sums if name in its_sums]
            found[f"charts/episodic_{name}"] = sum(part[0] for part in parts) / sum(part[1] for part in parts)
        return found

    def state_dict(self) -> dict[str, Any]:
        """All but games, which whoever asks for them has taken by then."""
        return {
            "returns": torch.from_numpy(self.returns.copy()), "lengths": torch.from_numpy(self.lengths.copy()),
            "episodes": [list(episode) for episode in self._ended],
            "statistics": {name: list(values) for name, values in self._statistics.items()},
        }  # fmt: skip

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave."""
        self.returns, self.lengths = (saved[name].numpy().copy() for name in ("returns", "lengths"))
        self._ended = [(float(value), int(length)) for value, length in saved["episodes"]]
        self._statistics = {name: list(values) for name, values in saved.get("statistics", {}).items()}


def without_nans(statistics: dict[str, list[float]]) -> dict[str, list[float]]:
    """Statistics without the NaNs of episodes of which nothing was said."""
    return {name: [value for value in values if not math.isnan(value)] for name, values in statistics.items()}
