"""Small environments whose right answers are known beforehand.

`Scripted` tells every step of every episode apart, for tests of the collector. The probes pin a fault of an algorithm
down (the idea is rejax's): whoever fails probe k but passes those before it has its fault in what k adds.
`Drift` and `Verbs` speak torch, as batched worlds do.
"""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from torch import Tensor

LENGTHS_OF_TESTS = ((3, 5), (1, 4, 2), (6,))
"""Lengths of the episodes of three scripted envs."""

ENDINGS = {"terminated": (True, False), "truncated": (False, True), "both": (True, True)}


class Scripted(gymnasium.Env):
    """Episodes of given lengths, over and over; everything says which env, episode and step it is of.

    An observation is (number, episode, step), a reward `reward_of` of the step it is for.

    Args:
        number: which env.
        lengths: of its episodes, repeated.
        ending: "terminated", "truncated" or "both".
        form: "box", "dict", "tuple", "discrete" (the step) or "products" (a Tuple of Discretes).
        masks: "" for none, "info" or "method".
    """

    def __init__(
        self, number: int, lengths: Sequence[int], ending: str = "terminated", form: str = "box", masks: str = ""
    ) -> None:
        self.number, self.lengths, self.flags = number, lengths, ENDINGS[ending]
        self.form, self.masks = form, masks
        self.episode, self.steps = -1, 0
        self.action_space = spaces.Discrete(3)
        box = spaces.Box(-1e6, 1e6, (3,), np.float64)
        one, two = spaces.Box(-1e6, 1e6, (1,), np.float32), spaces.Box(-1e6, 1e6, (2,), np.float32)
        self.observation_space = {
            "box": box,
            "dict": spaces.Dict({"a": one, "b": two}),
            "tuple": spaces.Tuple((one, spaces.Tuple((one, one)))),
            "discrete": spaces.Discrete(20),
            "products": spaces.Tuple((spaces.Discrete(5), spaces.Discrete(9), spaces.Discrete(20))),
        }[form]
        if masks == "method":
            self.action_masks = self._mask

    def _mask(self) -> np.ndarray:
        return mask_of(self.steps)

    def _see(self) -> Any:
        seen = np.array([self.number, self.episode, self.steps], np.float64)
        part = seen.astype(np.float32)
        return {
            "box": seen,
            "dict": {"a": part[:1], "b": part[1:]},
            "tuple": (part[:1], (part[1:2], part[2:])),
            "discrete": np.int64(self.steps),
            "products": (self.number, self.episode, self.steps),
        }[self.form]

    def _info(self) -> dict[str, Any]:
        return {"action_mask": self._mask()} if self.masks == "info" else {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.episode, self.steps = self.episode + 1, 0
        return self._see(), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = reward_of(self.number, self.episode, self.steps)
        self.steps += 1
        done = self.steps == self.lengths[self.episode % len(self.lengths)]
        return self._see(), reward, done and self.flags[0], done and self.flags[1], self._info()


def reward_of(number: int, episode: int, step: int) -> float:
    """What the step after observation (number, episode, step) pays: whole numbers, exact in float32."""
    return float(1000 * (number + 1) + 100 * episode + step)


def mask_of(step: int) -> np.ndarray:
    """int8 `[3]`: all but one action is legal."""
    mask = np.ones(3, np.int8)
    mask[step % 3] = 0
    return mask


def sync(*makers: Callable[[], gymnasium.Env], mode: AutoresetMode = AutoresetMode.SAME_STEP) -> SyncVectorEnv:
    """A Gymnasium vector env of these."""
    return SyncVectorEnv(list(makers), autoreset_mode=mode)


class Probe(gymnasium.Env):
    """One of five tasks of a step or two, with Discrete(2) or Box(1,) actions.

    "value": one observation, pays 1. "obs": pays its observation, -1 or 1. "discount": two steps, the second pays 1.
    "action": pays for the right action. "obs_action": pays for the action that the observation asks for.
    """

    def __init__(self, task: str, continuous: bool) -> None:
        self.task, self.continuous = task, continuous
        self.observation_space = spaces.Box(-1, 1, (1,), np.float32)
        self.action_space = spaces.Box(-1, 1, (1,), np.float32) if continuous else spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.steps = 0
        self.obs = float(self.np_random.choice([-1.0, 1.0])) if self.task in ("obs", "obs_action") else 0.0
        return np.array([self.obs], np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.steps += 1
        if self.task == "discount":
            return np.ones(1, np.float32), float(self.steps == 2), self.steps == 2, False, {}
        reward = {"value": 1.0, "obs": self.obs}.get(self.task)
        if reward is None:
            reward = self._pay(action)
        return np.array([self.obs], np.float32), reward, True, False, {}

    def _pay(self, action: Any) -> float:
        wanted = self.obs if self.task == "obs_action" else 1.0
        if self.continuous:
            return 1 - (float(action[0]) - wanted / 2) ** 2
        return 1.0 if int(action) == int(wanted > 0) else -1.0


class Anything(gymnasium.Env):
    """Random observations of any space; an episode is three steps."""

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        assert self.action_space.contains(action), action
        self.steps += 1
        return self.observation_space.sample(), 1.0, False, self.steps == 3, {}


class TorchProbe(VectorEnv):
    """What batched worlds have in common: tensors in and out, `out`, SAME_STEP, a state that can be saved.

    A subclass has `observe() -> (obs, mask or None)`, `begin(rows)` and `play(actions) -> (rewards, terminated)`; its
    tensors of names `FIELDS` are its state. Episodes are truncated after `limit` steps.
    """

    FIELDS: tuple[str, ...] = ()
    limit = 10

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self.device = torch.device("cpu")
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.random = torch.Generator()
        self.ticks = torch.zeros(num_envs, dtype=torch.int64)

    def observe(self) -> tuple[Tensor, Tensor | None]:
        raise NotImplementedError

    def begin(self, rows: Tensor) -> None:
        raise NotImplementedError

    def play(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def _results(self) -> tuple[Tensor, dict[str, Any]]:
        obs, mask = self.observe()
        return obs, {} if mask is None else {"action_mask": mask}

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Tensor, dict[str, Any]]:
        if seed is not None:
            self.random.manual_seed(seed)
        self.ticks.zero_()
        self.begin(torch.ones(self.num_envs, dtype=torch.bool))
        return self._results()

    def step(self, actions: Tensor, out: dict[str, Tensor] | None = None) -> tuple[Any, ...]:
        rewards, terminated = self.play(actions)
        self.ticks = self.ticks + 1
        truncated = self.ticks >= self.limit
        ended = terminated | truncated
        final, _ = self.observe()
        self.ticks = self.ticks.masked_fill(ended, 0)
        self.begin(ended)
        obs, infos = self._results()
        if ended.any():
            infos |= {"final_obs": final, "_final_obs": ended}
        if out is not None:
            results = {"obs": obs, "rewards": rewards, "terminated": terminated, "truncated": truncated}
            for name, value in (results | infos).items():
                if name in out:
                    out[name].copy_(value)
        return obs, rewards, terminated, truncated, infos

    def save_state(self) -> dict[str, Any]:
        saved = {name: getattr(self, name).clone() for name in (*self.FIELDS, "ticks")}
        return saved | {"random": self.random.get_state()}

    def load_state(self, saved: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        for name in (*self.FIELDS, "ticks"):
            setattr(self, name, saved[name].clone())
        self.random.set_state(saved["random"])
        return self._results()


class Drift(TorchProbe):
    """A point that drifts at random, pushed left or right; pays for being near 0, ends beyond 1."""

    FIELDS = ("place",)
    single_observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def __init__(self, num_envs: int, continuous: bool = False) -> None:
        super().__init__(num_envs)
        self.single_action_space = spaces.Box(-1, 1, (1,), np.float32) if continuous else spaces.Discrete(3)
        self.continuous = continuous
        self.place = torch.zeros(num_envs)

    def observe(self) -> tuple[Tensor, None]:
        return torch.stack([self.place, self.ticks / self.limit], dim=-1), None

    def begin(self, rows: Tensor) -> None:
        fresh = torch.rand(self.num_envs, generator=self.random) - 0.5
        self.place = torch.where(rows, fresh, self.place)

    def play(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        push = actions.squeeze(-1).clamp(-1, 1) if self.continuous else actions.float() - 1
        self.place = self.place + 0.2 * push + 0.3 * (torch.rand(self.num_envs, generator=self.random) - 0.5)
        return 1 - self.place.abs(), self.place.abs() > 1


class Verbs(TorchProbe):
    """Verbs whose targets' mask depends on them; one step an episode; an illegal action pays -10.

    The action is (verb of 3, target of 4). Verb 0 waits, uses no target and pays 0.2. Verb 1 pays 1 on its legal target
    that the observation names, 0 on others; verb 2 the same with 0.5. Which verbs and targets are legal is random; the
    observation tells the verbs. The best that was legal is subtracted, so that the best policy earns 0.
    """

    FIELDS = ("wanted", "legal")
    limit = 1
    action_layout = SimpleNamespace(sizes=(3, 4), kinds=((-1, 0, 1),), num_columns=11)
    single_observation_space = spaces.Box(-np.inf, np.inf, (11,), np.float32)
    single_action_space = spaces.MultiDiscrete([3, 4])

    def __init__(self, num_envs: int) -> None:
        super().__init__(num_envs)
        self.wanted = torch.zeros(num_envs, 2, dtype=torch.int64)
        self.legal = torch.ones(num_envs, 11, dtype=torch.bool)

    def observe(self) -> tuple[Tensor, Tensor]:
        wanted = torch.nn.functional.one_hot(self.wanted, 4).flatten(1)
        return torch.cat([wanted, self.legal[:, :3]], dim=1).float(), self.legal

    def begin(self, rows: Tensor) -> None:
        wanted = torch.randint(0, 4, (self.num_envs, 2), generator=self.random)
        legal = torch.rand(self.num_envs, 11, generator=self.random) < 0.6
        legal[:, 0] = True
        legal[:, 3:].view(-1, 2, 4).scatter_(2, wanted[..., None], True)
        self.wanted = torch.where(rows[:, None], wanted, self.wanted)
        self.legal = torch.where(rows[:, None], legal, self.legal)

    def play(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        rows = torch.arange(self.num_envs)
        verb, target = actions[:, 0], actions[:, 1]
        kind = (verb - 1).clamp(min=0)
        right = self.wanted[rows, kind] == target
        pay = torch.where(verb == 0, 0.2, right * torch.where(verb == 1, 1.0, 0.5))
        legal = self.legal[rows, verb] & ((verb == 0) | self.legal[rows, 3 + 4 * kind + target])
        best = torch.where(self.legal[:, 1], 1.0, torch.where(self.legal[:, 2], 0.5, 0.2))
        return torch.where(legal, pay - best, -10.0), torch.ones(self.num_envs, dtype=torch.bool)


class Recall(TorchProbe):
    """A cue of two, shown at the first step, is asked for `delay` steps later; the right answer pays 1, else 0.

    The observation is (cue is 0, cue is 1, asked), the cue's two 0 but at first. `masked`: there are four actions, of
    which answers k and k + 2 are right for cue k, and at each step only 0 and 1 or only 2 and 3 are legal, which the
    observation doesn't tell; an illegal action pays -10.
    """

    FIELDS = ("cue", "upper")
    single_observation_space = spaces.Box(0, 1, (3,), np.float32)

    def __init__(self, num_envs: int, delay: int = 20, masked: bool = False) -> None:
        super().__init__(num_envs)
        self.limit, self.masked = delay + 2, masked
        self.delay = delay
        self.single_action_space = spaces.Discrete(4 if masked else 2)
        self.cue = torch.zeros(num_envs, dtype=torch.int64)
        self.upper = torch.zeros(num_envs, dtype=torch.bool)

    def observe(self) -> tuple[Tensor, Tensor | None]:
        shown = torch.nn.functional.one_hot(self.cue, 2) * (self.ticks == 0)[:, None]
        obs = torch.cat([shown, (self.ticks == self.delay)[:, None]], dim=1).float()
        return obs, self._legal() if self.masked else None

    def _legal(self) -> Tensor:
        return self.upper[:, None] == torch.tensor([False, False, True, True])

    def begin(self, rows: Tensor) -> None:
        fresh = torch.randint(0, 2, (self.num_envs,), generator=self.random)
        self.cue = torch.where(rows, fresh, self.cue)
        self.upper = torch.rand(self.num_envs, generator=self.random) < 0.5

    def play(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        asked = self.ticks == self.delay
        pay = (asked & (actions % 2 == self.cue)).float()
        if self.masked:
            legal = self._legal().gather(1, actions[:, None]).squeeze(1)
            pay = torch.where(legal, pay, -10.0)
        return pay, asked


class Pick(TorchProbe):
    """Verbs that want a row each, told by a feature of the rows; one step an episode; an illegal action pays -10.

    The observation is a bias and 8 rows, 5 near and 3 far, of three features: verb 1 wants it, verb 2 does, noise.
    The action is (verb of 3, row of 8). Verb 0 waits and pays 0.2, verb 1 pays 1 on its row, verb 2 the same with 0.5.
    The mask alone tells which verbs are legal, so that the row must be chosen by the verb. The best that was legal is
    subtracted, so that the best policy earns 0.
    """

    FIELDS = ("wanted", "legal", "noise")
    limit = 1
    action_layout = SimpleNamespace(sizes=(3, 8), kinds=((-1, 0, 1),), num_columns=19)
    obs_layout: ClassVar = {
        "bias": SimpleNamespace(slice=slice(0, 1), shape=(1,), kind="bias"),
        "near": SimpleNamespace(slice=slice(1, 16), shape=(5, 3), kind="unit"),
        "far": SimpleNamespace(slice=slice(16, 25), shape=(3, 3), kind="unit"),
    }
    single_observation_space = spaces.Box(-np.inf, np.inf, (25,), np.float32)
    single_action_space = spaces.MultiDiscrete([3, 8])

    def __init__(self, num_envs: int) -> None:
        super().__init__(num_envs)
        self.wanted = torch.zeros(num_envs, 2, dtype=torch.int64)
        self.legal = torch.ones(num_envs, 19, dtype=torch.bool)
        self.noise = torch.zeros(num_envs, 8)

    def observe(self) -> tuple[Tensor, Tensor]:
        rows = torch.cat([torch.nn.functional.one_hot(self.wanted, 8).mT, self.noise[..., None]], dim=2)
        return torch.cat([torch.ones(self.num_envs, 1), rows.flatten(1)], dim=1), self.legal

    def begin(self, rows: Tensor) -> None:
        wanted = torch.randint(0, 8, (self.num_envs, 2), generator=self.random)
        legal = torch.rand(self.num_envs, 19, generator=self.random) < 0.6
        legal[:, 0] = True
        legal[:, 3:].view(-1, 2, 8).scatter_(2, wanted[..., None], True)
        self.wanted = torch.where(rows[:, None], wanted, self.wanted)
        self.legal = torch.where(rows[:, None], legal, self.legal)
        self.noise = torch.rand(self.num_envs, 8, generator=self.random)

    def play(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        rows = torch.arange(self.num_envs)
        verb, target = actions[:, 0], actions[:, 1]
        kind = (verb - 1).clamp(min=0)
        right = self.wanted[rows, kind] == target
        pay = torch.where(verb == 0, 0.2, right * torch.where(verb == 1, 1.0, 0.5))
        legal = self.legal[rows, verb] & ((verb == 0) | self.legal[rows, 3 + 8 * kind + target])
        best = torch.where(self.legal[:, 1], 1.0, torch.where(self.legal[:, 2], 0.5, 0.2))
        return torch.where(legal, pay - best, -10.0), torch.ones(self.num_envs, dtype=torch.bool)


class Tell(TorchProbe):
    """Teams of three; one of them sees which of four numbers is due, and each is paid 1 for saying it, in one step."""

    limit = 1
    num_seats = 3
    single_observation_space = spaces.Box(0, 1, (4,), np.float32)
    single_action_space = spaces.Discrete(4)

    def __init__(self, num_envs: int) -> None:
        super().__init__(num_envs)
        self.due = torch.zeros(num_envs, dtype=torch.int64)
        self.sees = torch.zeros(num_envs, dtype=torch.bool)

    def observe(self) -> tuple[Tensor, None]:
        return torch.nn.functional.one_hot(self.due, 4).float() * self.sees[:, None], None

    def begin(self, rows: Tensor) -> None:
        teams = self.num_envs // 3
        self.due = torch.randint(0, 4, (teams,), generator=self.random).repeat_interleave(3)
        who = torch.randint(0, 3, (teams, 1), generator=self.random)
        self.sees = (torch.arange(3) == who).flatten()

    def play(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        return (actions == self.due).float(), torch.ones(self.num_envs, dtype=torch.bool)
