"""The collector: the one way from worlds to learners, and the only training caller of `env.step`.

Time-major tensors on the learner's device. Worlds there write straight into the rollout's rows; any other Gymnasium
vector env is copied into them (agents/other_envs.py). How an env resets itself ends here: learners see the same rows
for NEXT_STEP, SAME_STEP and DISABLED.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from torch import Tensor

from agents import distributed, horizon
from agents.encoding import Encoder, Masks
from agents.episodes import Episodes
from agents.networks import wide
from agents.other_envs import Diverged, EnvError, OtherEnvs, last_seen, takes_out
from agents.owners import Owners

Act = Callable[[Tensor, Tensor | None, Tensor, Tensor], tuple[Tensor, Tensor, dict[str, Tensor]]]
"""(obs, mask, memory, starts) -> (actions, memory, extras), over all rows."""
Final = tuple[Tensor, Tensor, Tensor, Tensor | None]
"""int64 `[k]` t * N + n of rows that ended, their final observations, memory and masks."""


@dataclass
class Rollout:
    """`T` steps of `N` rows, time-major.

    Row t holds what was seen (`obs[t]`), done (`actions[t]`) and got (`rewards[t]`, `terminated[t]`, `truncated[t]`);
    `obs[t + 1]` is what the next action is chosen from, hence the reset observation where an episode ended at t.
    """

    obs: Tensor
    """`[T + 1, N, ...]`; with columns of zeros at the end after `Collector.keep_obs_in(..., widened=True)`."""
    action_mask: Tensor | None
    """bool `[T + 1, N, M]`, or None."""
    actions: Tensor
    """int64 or float32 `[T, N, ...]`, as the policy gave them."""
    rewards: Tensor
    """float32 `[T, N]`"""
    terminated: Tensor
    """bool `[T, N]`"""
    truncated: Tensor
    """bool `[T, N]`"""
    starts: Tensor
    """bool `[T + 1, N]`: `obs[t]` is the first of an episode."""
    valid: Tensor
    """bool `[T, N]`: False for the fake step after an episode's end under NEXT_STEP and for rows of other owners."""
    memory: Tensor
    """`[N, m]`: the policy's memory before step 0."""
    extras: dict[str, Tensor]
    """What else `act` gave, `[T, N, ...]` each."""
    final_index: Tensor
    """int64 `[K]`: t * N + n of rows that ended and whose last observation is not `obs[t + 1]`, in any order."""
    final_obs: Tensor
    """`[K, ...]`: their last observations."""
    final_memory: Tensor
    """`[K, m]`: the policy's memory after step t, before any reset."""
    final_mask: Tensor | None = None
    """bool `[K, M]`: their last masks, all True where the envs tell none; None where there are no masks."""
    all_valid: bool = False
    """Every step counts."""
    ends: Any = None
    """Where horizons are of fixed operations (agents/horizon.py): the places of episodes' ends. `final_index` then has
    T * N for places that are empty."""
    _rows: dict[str, Any] = field(default_factory=dict, repr=False)
    _outs: list[dict[str, Tensor]] = field(default_factory=list, repr=False)

    @property
    def num_steps(self) -> int:
        """T."""
        return self.actions.shape[0]

    @property
    def num_envs(self) -> int:
        """N."""
        return self.actions.shape[1]

    def next_obs(self) -> Tensor:
        """What each action led to, `[T, N, ...]`: `obs[t + 1]`, but the final observation where the episode ended."""
        if not len(self.final_index):
            return self.obs[1:]
        return placed(self.obs[1:], self.final_index, self.final_obs)


def placed(values: Tensor, index: Tensor, others: Tensor) -> Tensor:
    """A copy of `values` `[T, N, ...]` with `others` `[K, ...]` at t * N + n in `index`; T * N is nowhere."""
    flat = torch.cat([values.flatten(0, 1), values[:1, 0]])
    flat[index] = others
    return flat[:-1].view(values.shape)


class Collector:
    """Steps a vector env with a policy and fills rollouts, going on where the last one ended.

    Args:
        envs: what `envs.make_vec` gives, or any Gymnasium vector env; it is reset with `seed`. In a batch that resets
            within the step (SAME_STEP) single envs must give a new array each time: Gymnasium keeps the array alone,
            and an env that writes into it again changes its own last observation.
        device: of the rollouts; worlds on another device are copied from.
        seed: of the envs, and of what opponents draw. Of several ranks each has the envs that come after those of the
            rank before: worlds of ours were made as such, the others are seeded so.
        fixed: whether horizons are of fixed operations (agents/horizon.py), which keep the last observations of
            truncated episodes alone; None: wherever that can be, which is with worlds on a GPU.

    Attributes:
        envs: the vector env.
        encoder: how its observations become tensors.
        num_envs: rows N.
        sizes: of the batches that `act` is called for in turn.
        memory: `[N, m]`, the policy's; whoever trains a policy sets it to `policy.initial_memory(N)` at first.
        owners: who plays which row.
        episodes: what ended.
    """

    def __init__(
        self,
        envs: gymnasium.vector.VectorEnv,
        device: str | torch.device = "cpu",
        seed: int = 0,
        fixed: bool | None = None,
    ) -> None:
        self.envs: Any = envs
        self.device = torch.zeros(0, device=device).device
        self.num_envs, self.sizes = envs.num_envs, [envs.num_envs]
        self.encoder = Encoder(envs.single_observation_space)
        self.action_space = envs.single_action_space
        self.mode = AutoresetMode(envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
        there = getattr(envs, "device", None)
        self.in_place = there is not None and takes_out(envs) and torch.zeros(0, device=there).device == self.device
        self.others = None if self.in_place else OtherEnvs(envs, self.encoder, self.device)
        self.obs_shape, self.obs_dtype = self.encoder.shape, self.encoder.dtype
        self.fixed = horizon.fits(self) if fixed is None else fixed
        self.owners = Owners(self.num_envs, self.device, distributed.seed(seed), self.fixed)
        self.tally = horizon.Tally(envs.world.statistics if self.fixed else (), self.device, self.fixed)  # pyright: ignore
        self.memory = torch.zeros(self.num_envs, 0, device=self.device)
        self.starts = torch.ones(self.num_envs, dtype=torch.bool, device=self.device)
        self.fake = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        self.episodes = Episodes(self.num_envs)
        first_row = 0 if hasattr(envs, "first_world") else distributed.rank() * self.num_envs
        self._zeros = np.zeros(0, np.float32)
        reset = self.envs if self.others is None else self.others
        obs, infos = reset.reset(seed=seed + first_row)
        self.masks = Masks(envs, infos) if self.others is None else self.others.masks
        try:
            self._receive(obs, infos)
        except Exception as error:
            if self.others is None:
                raise
            raise self.others.broken("reset", error) from error

    def _receive(self, obs: Any, infos: dict[str, Any]) -> None:
        self.obs = self.encoder(obs).to(self.device, copy=True)
        mask = self.masks(infos)
        self.action_mask = None if mask is None else mask.to(self.device, copy=True)

    def keep_obs_in(self, dtype: torch.dtype, widened: bool = False) -> None:
        """Has new rollouts keep floating-point observations in another type, and `widened`: with zeros behind, for a
        policy whose matrix products they go into as they are.

        Raises:
            ValueError: observations that are not floating-point, or envs that are not worlds on a GPU.
        """
        if not self.fixed or not self.encoder.dtype.is_floating_point:
            raise ValueError(
                f"observations are kept in {dtype} only where they are real numbers of worlds on a GPU; "
                "leave bf16_obs out"
            )
        self.obs_dtype = dtype
        if widened and len(self.encoder.shape) == 1:
            self.obs_shape = (wide(self.encoder.shape[0]),)

    def set_opponents(self, policies: Sequence[Any], owner: Tensor) -> None:
        """Hands rows to frozen policies: each row when its present episode has ended, at once if it has not begun.

        Args:
            policies: each with `act` and `initial_memory`.
            owner: int64 `[num_envs]`: 0 the learner, k the k-th of `policies`.

        Raises:
            ValueError: numbers that name no policy.
        """
        self.owners.assign(policies, owner)

    def new_rollout(
        self, num_steps: int, extras: dict[str, tuple[tuple[int, ...], torch.dtype]] | None = None
    ) -> Rollout:
        """Preallocated tensors for `num_steps` steps; `extras` gives shape and dtype a row of each by name."""
        steps, rows, device = num_steps, self.num_envs, self.device

        def empty(length: int, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
            return torch.zeros(length, rows, *shape, dtype=dtype, device=device)

        box = isinstance(self.action_space, spaces.Box)
        columns = self.masks.num_columns
        rollout = Rollout(
            obs=empty(steps + 1, self.obs_shape, self.obs_dtype),
            action_mask=None if columns is None else empty(steps + 1, (columns,), torch.bool),
            actions=empty(steps, self.action_space.shape or (), torch.float32 if box else torch.int64),
            rewards=empty(steps, (), torch.float32),
            terminated=empty(steps, (), torch.bool),
            truncated=empty(steps, (), torch.bool),
            starts=empty(steps + 1, (), torch.bool),
            valid=empty(steps, (), torch.bool),
            memory=self.memory,
            extras={name: empty(steps, shape, dtype) for name, (shape, dtype) in (extras or {}).items()},
            final_index=torch.zeros(0, dtype=torch.int64, device=device),
            final_obs=torch.zeros(0, *self.encoder.shape, dtype=self.encoder.dtype, device=device),
            final_memory=torch.zeros(0, *self.memory.shape[1:], device=device),
            final_mask=None if columns is None else torch.zeros(0, columns, dtype=torch.bool, device=device),
        )
        names = ("obs", "actions", "rewards", "terminated", "truncated", "starts", "valid")
        rows_of: dict[str, Any] = {name: getattr(rollout, name).unbind() for name in names}
        masks = rollout.action_mask
        rows_of["action_mask"] = (None,) * (steps + 1) if masks is None else masks.unbind()
        rollout._rows = rows_of
        rollout._outs = [_results(rows_of, t) for t in range(steps)]
        rollout.ends = horizon.prepare(self, rollout) if self.fixed else None
        return rollout

    def collect(self, act: Act, rollout: Rollout) -> None:
        """Fills the rollout with the next steps of every row, `act` under inference mode."""
        rollout.all_valid = not self.owners.opponents and self.mode != AutoresetMode.NEXT_STEP
        if rollout.ends is not None:
            horizon.play(self, act, rollout)
            return self.tally.add(rollout)
        fake_at_start, finals = self.begin(rollout), []
        with torch.inference_mode():
            for _ in self.playing(act, rollout, finals):
                pass
        self.finish(rollout, fake_at_start, finals)

    def begin(self, rollout: Rollout) -> Tensor:
        """What a rollout begins with; returns what `finish` is to be given."""
        rollout.memory = self.memory
        return self.fake

    def finish(self, rollout: Rollout, fake_at_start: Tensor, finals: list[Final]) -> None:
        """What is to be done when a rollout was played."""
        self.obs, self.starts, self.action_mask = (rollout._rows[name][-1] for name in ("obs", "starts", "action_mask"))
        if self.memory is not rollout.memory:
            self.memory = self.memory.clone()
        self._keep_finals(rollout, finals)
        self._mark_valid(rollout, fake_at_start)
        self._check_rewards(rollout)
        ended = bool(finals) or self.mode == AutoresetMode.NEXT_STEP
        self.episodes.count(rollout, ended, bool(self.owners.opponents))

    def playing(self, act: Act, rollout: Rollout, finals: list[Final]) -> Iterator[None]:
        """Plays a rollout, with a pause in each step: after actions were asked for, before the envs take them."""
        obs, masks, starts = rollout._rows["obs"], rollout._rows["action_mask"], rollout._rows["starts"]
        kept, valid = rollout._rows["actions"], rollout._rows["valid"]
        obs[0].copy_(self.obs)
        starts[0].copy_(self.starts)
        if self.action_mask is not None:
            masks[0].copy_(self.action_mask)
        for t in range(rollout.num_steps):
            actions, self.memory, extras = act(obs[t], masks[t], self.memory, starts[t])
            if self.owners.opponents:
                actions = self.owners.act(actions, obs[t], masks[t], starts[t])
                torch.eq(self.owners.owner, 0, out=valid[t])
            kept[t].copy_(actions)
            for name, value in extras.items():
                rollout.extras[name][t] = value
            received = None if self.others is None else self.others.send(actions)
            yield
            self._step(actions if received is None else received(), t, rollout, finals)

    def _step(self, actions: Tensor, t: int, rollout: Rollout, finals: list[Final]) -> None:
        """Steps the envs into row t, and notes final observations and who starts anew at t + 1."""
        out, ended = rollout._outs[t], rollout._rows["starts"][t + 1]
        try:
            infos = self.envs.step(actions, out=out)[4] if self.others is None else self.others.step(actions, out)
        except ValueError as error:
            if actions.isfinite().all():
                raise
            raise Diverged("the policy's actions are no finite numbers") from error
        torch.logical_or(out["terminated"], out["truncated"], out=ended)
        over = ended if self.others is None or self.others.over is None else self.others.over
        self.episodes.note(t, infos, self.owners.owner)
        if self.mode == AutoresetMode.NEXT_STEP:
            self.fake, ended[:] = ended.clone(), self.fake
        elif self.mode == AutoresetMode.DISABLED:
            if over.any():
                rows = over.nonzero().flatten().to(self.device)
                mask = out["action_mask"][rows] if "action_mask" in out else None
                finals.append((rows + t * self.num_envs, out["obs"][rows], self.memory[rows], mask))
                self._reset_rows(ended, out)
        elif "final_obs" in infos and (self.in_place or over.any()):
            rows = over.nonzero().flatten()
            found = last_seen(self, infos, rows) if self.others is None else self.others.last_seen(infos, rows)
            final_obs, mask = (None if x is None else x.to(self.device) for x in found)
            rows = rows.to(self.device)
            finals.append((rows + t * self.num_envs, final_obs, self.memory[rows], mask))  # pyright: ignore
        elif not self.in_place and over.any():
            raise ValueError('SAME_STEP envs must give infos["final_obs"] when an episode ends; these gave none')

    def _reset_rows(self, ended: Tensor, out: dict[str, Tensor]) -> None:
        rows = ended.cpu().numpy()
        obs, infos = self.envs.reset(options={"reset_mask": rows})
        out["obs"][ended] = self.encoder(obs).to(self.device)[ended]
        mask = self.masks(infos, rows)
        if mask is not None:
            out["action_mask"][ended] = mask.to(self.device)[ended]

    def _keep_finals(self, rollout: Rollout, finals: list[Final]) -> None:
        if finals:
            index, obs, memory, masks = zip(*finals, strict=True)
            rollout.final_index, rollout.final_obs, rollout.final_memory = map(torch.cat, (index, obs, memory))
            rollout.final_mask = None if rollout.final_mask is None else torch.cat(masks)
        elif len(rollout.final_index):
            rollout.final_index, rollout.final_obs = rollout.final_index[:0], rollout.final_obs[:0]
            rollout.final_memory = rollout.final_memory[:0]
            rollout.final_mask = None if rollout.final_mask is None else rollout.final_mask[:0]

    def _mark_valid(self, rollout: Rollout, fake_at_start: Tensor) -> None:
        if not self.owners.opponents:
            rollout.valid.fill_(True)
        if self.mode == AutoresetMode.NEXT_STEP:
            ended = rollout.terminated | rollout.truncated
            fake = torch.cat([fake_at_start.unsqueeze(0), ended[:-1]])
            rollout.valid &= ~fake
            if (ended & fake).any():
                raise EnvError(
                    "an episode ended in the very step that was to begin it, as NEXT_STEP has it; does the env reset "
                    'itself otherwise? Say how in its metadata["autoreset_mode"]'
                )

    def episode_metrics(self) -> dict[str, float]:
        """Means over the learner's episodes that ended since the last call: see `Episodes.pop_metrics`."""
        return self.episodes.pop_metrics(self.tally.pop())

    def _check_rewards(self, rollout: Rollout) -> None:
        """A product with zeros tells at little cost whether any is not finite."""
        rewards = rollout.rewards.cpu().numpy()
        if len(self._zeros) != rewards.size:
            self._zeros = np.zeros(rewards.size, np.float32)
        if rewards.ravel().dot(self._zeros) != 0:
            t, row = np.argwhere(~np.isfinite(rewards))[0]
            raise EnvError(f"its world {row} gave the reward {rewards[t, row]}; rewards must be finite")

    def state_dict(self) -> dict[str, Any]:
        """What the next `collect` goes on from, the worlds included where they can be saved."""
        saved: dict[str, Any] = {
            **self.episodes.state_dict(),
            "memory": self.memory.clone(),
            "starts": self.starts.clone(),
            "fake": self.fake.clone(),
            "owners": self.owners.state_dict(),
        }
        if hasattr(self.envs, "save_state"):
            saved["envs"] = self.envs.save_state()
        return saved

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Goes on where the saved collector was; envs that can't be saved stay at their own reset."""
        self.owners.load_state_dict(saved["owners"])
        if not hasattr(self.envs, "load_state"):
            return
        self._receive(*self.envs.load_state(saved["envs"]))
        self.episodes.load_state_dict(saved)
        for name in ("memory", "starts", "fake"):
            setattr(self, name, saved[name].to(self.device).clone())


def _results(rows: dict[str, Any], t: int) -> dict[str, Tensor]:
    """Where step t's results go."""
    out = {"obs": rows["obs"][t + 1], "action_mask": rows["action_mask"][t + 1]}
    out |= {name: rows[name][t] for name in ("rewards", "terminated", "truncated")}
    return {name: row for name, row in out.items() if row is not None}
