"""How good an agent is while it learns, in environments of its own, and the best of it kept."""

from pathlib import Path
from typing import Any

from experiments import runs
from experiments.errors import InputError
from experiments.worlds import close

SELECTION_SEED = 20_000
"""Of the episodes that the best agent is chosen by, apart from those that it is measured on afterwards."""


class Judge:
    """Evaluates best actions; nothing that training looks at is changed.

    The best agent so far is in the run folder, with the step, mean return and number of episodes that it was chosen by.
    What it holds from before a resume counts on.

    Args:
        run: folder.
        run_config: of the run; `eval_every` says when `look` evaluates.
        episodes: of an evaluation.
        seed: of the environments, the same each time.
    """

    def __init__(self, run: Path, run_config: runs.RunConfig, episodes: int, seed: int = SELECTION_SEED) -> None:
        self.path, self.run_config, self.episodes, self.seed = runs.best_path(run), run_config, episodes, seed
        self.envs: Any = None
        self.best = best_of(run)

    def evaluate(self, policy: Any) -> Any:
        """An `agents.evaluate.Evaluation` of a policy on the run's device."""
        from agents.evaluate import evaluate
        from experiments.trained import evaluation_envs

        if self.envs is None:
            self.envs = evaluation_envs(self.run_config, self.episodes)
        return evaluate(policy, self.envs, self.episodes, seed=self.seed, device=self.run_config.device)

    def look(self, state: Any, last: int) -> dict[str, float]:
        """Evaluates and keeps the best where an evaluation was due since step `last`; returns what is to be logged."""
        every, step = self.run_config.eval_every, state.global_step
        if not every or step // every == last // every:
            return {}
        found = self.evaluate(state.policy)
        if self.best is None or found.mean > self.best["mean"]:
            self._keep(state, found)
        return {"eval/return": found.mean, "eval/length": found.mean_length}

    def _keep(self, state: Any, found: Any) -> None:
        from agents import checkpoint
        from agents.networks import copied

        self.best = {"step": state.global_step, "mean": found.mean, "episodes": found.episodes}
        trained = {"policy": copied(state.policy), "global_step": state.global_step}
        checkpoint.save(self.path, {"train": trained, "best": self.best})

    def close(self) -> None:
        """Closes its environments."""
        if self.envs is not None:
            close(self.envs)


def best_of(run: Path) -> dict[str, Any] | None:
    """The best agent of a run: its "step", "mean" return and "episodes"; None where none was kept.

    Raises:
        InputError: the file is damaged.
    """
    path = runs.best_path(run)
    if not path.is_file():
        return None
    from experiments.trained import read_checkpoint

    saved = read_checkpoint(path)
    if "best" not in saved:
        raise InputError(f"{path} doesn't say how good it is; remove it, or put back the one that training wrote")
    return saved["best"]
