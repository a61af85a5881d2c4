"""How an id and its options become environments: Quintet's own in batches of tensors, anyone's through Gymnasium."""

import contextlib
import copy
import importlib
import inspect
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.registration import load_env_creator
from gymnasium.vector import AutoresetMode

import envs
from envs.registration import did_you_mean, load_world
from experiments.errors import InputError, install

EXTRAS = {"mujoco": "gymnasium.envs.mujoco", "box2d": "gymnasium.envs.box2d", "atari": "ale_py"}
"""Extra of the distribution -> the package whose environments need it."""

EVALUATION_SEED = 10_000
"""Of evaluating and watching, apart from the small numbers that people train with."""

NOT_OPTIONS = {"self", "render_mode", "kwargs"}


@dataclass(frozen=True)
class EnvChoice:
    """An environment that exists, with options that it has."""

    id: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def is_world(self) -> bool:
        """True for worlds of `envs.register_world`: they speak torch and save their state."""
        return self.id in envs.registered_worlds()


def import_modules(names: Sequence[str]) -> None:
    """Imports users' modules, the current folder on the path, so that they register their worlds.

    Raises:
        InputError: no such module.
    """
    if names and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # behind ours: a folder there may be called agents
    for given in names:
        path = Path(given.removesuffix(".py"))
        path = path.relative_to(Path.cwd()) if path.is_absolute() and path.is_relative_to(Path.cwd()) else path
        name = ".".join(path.parts)
        if not all(part.isidentifier() for part in name.split(".")):
            raise InputError(f"--module {given!r}: give a module's name, or a file in {Path.cwd()} or below")
        try:
            importlib.import_module(name)
        except ValueError as error:
            raise InputError(f"--module {given}: {error}") from error
        except SyntaxError as error:
            raise InputError(f"--module {name}: {error.msg} ({error.filename}, line {error.lineno})") from error
        except ModuleNotFoundError as error:
            if error.name != name.split(".")[0] and error.name != name:
                raise InputError(f"--module {name} needs {error.name!r}, which is not installed here") from error
            nearest = did_you_mean(name, [path.stem for path in Path.cwd().glob("*.py")])
            raise InputError(f"--module {name}: no such module in {Path.cwd()} or installed{nearest}") from error


def choose(env_id: str, options: dict[str, Any] | None = None) -> EnvChoice:
    """Checks an id and options against what there is; what names a file does so from any folder then.

    Raises:
        InputError: no such id or option, with the nearest that there is.
    """
    if is_atari(env_id):
        _register_atari()
    known = gymnasium.registry
    if env_id not in known:
        nearest = did_you_mean(env_id, known) or did_you_mean(env_id, envs.registered_worlds(), "quintet/")
        more = "`quintet envs --all` lists them, --module NAME imports what registers more"
        raise InputError(f"no environment {env_id!r}{nearest}; {more}")
    choice = EnvChoice(env_id, {name: _absolute(value) for name, value in (options or {}).items()})
    _check_options(choice)
    return choice


def _absolute(value: Any) -> Any:
    is_file = isinstance(value, str) and Path(value).suffix and Path(value).is_file()
    return str(Path(value).resolve()) if is_file else value


def _register_atari() -> None:
    try:
        ale_py = importlib.import_module("ale_py")
    except ImportError:
        raise InputError(_install("atari", "Atari games")) from None
    gymnasium.register_envs(ale_py)


def _install(extra: str, what: str) -> str:
    return f"{what} need the extra {extra!r}: {install(extra)}"


def _check_options(choice: EnvChoice) -> None:
    if not choice.options:
        return
    known, open_ended = env_options(choice.id)
    for name in choice.options:
        if name not in known and not open_ended:
            listed = ", ".join(flag(option) for option in known) or "none"
            hint = did_you_mean(flag(name), map(flag, known), flag(""))
            raise InputError(f"{choice.id} has no option {flag(name)}{hint}; its options: {listed}")


def flag(option: str) -> str:
    """How an option of an environment is written on the command line."""
    return "--env." + option.replace("_", "-")


def env_options(env_id: str) -> tuple[dict[str, inspect.Parameter], bool]:
    """The options of an environment by name, and whether it also takes others (**kwargs)."""
    spec = gymnasium.registry[env_id]
    if spec.entry_point is None:
        raise InputError(
            f"{env_id} is registered with a vector_entry_point alone; give its batch to an algorithm in Python: "
            "ppo.learn(gymnasium.make_vec(...), config)"
        )
    with _extras(env_id):
        maker = world_maker(env_id) if env_id in envs.registered_worlds() else _creator(spec.entry_point)
    if not callable(maker):
        return {}, False
    parameters = inspect.signature(maker).parameters
    open_ended = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    named = {
        name: one
        for name, one in parameters.items()
        if name not in NOT_OPTIONS and one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)
    }
    if is_atari(env_id):  # learned in ale_py's batches, watched one by one
        batch = inspect.signature(_creator(spec.vector_entry_point)).parameters
        named = {name: one for name, one in named.items() if name in batch and name != "game"}
    return named, open_ended


def world_maker(env_id: str) -> Any:
    """What a world's id points to: its function of options, or the World itself."""
    module, attribute = envs.registered_worlds()[env_id].split(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        raise InputError(f"{env_id} is registered as {module}:{attribute}, which can't be loaded: {error}") from error


def _creator(entry_point: Any) -> Any:
    return entry_point if callable(entry_point) else load_env_creator(entry_point)


def make_batch(
    choice: EnvChoice,
    num_envs: int,
    vectorization: str = "sync",
    seed: int = 0,
    seats: str | Sequence[int] = (0,),
    first_world: int = 0,
    device: str = "cpu",
) -> Any:
    """A vector env to learn from or to evaluate on: tensors for worlds, NumPy with SAME_STEP autoreset for others.

    Atari games come as ale_py's own batches: uint8 `[4, 84, 84]`, four grey frames, and rewards as they are.
    Worlds are on `device`; others on the CPU, in two halves for a learner on a GPU (agents/halves.py).
    Of a world with several seats `seats` are the learner's; the world's scripted players have the others. Worlds are
    number `first_world` and on of the seed.

    Raises:
        InputError: options with values that the environment refuses, or an extra that is not installed.
    """
    with _judging(choice):
        if choice.is_world:
            place: dict[str, Any] = {"seed": seed, "seats": seats, "first_world": first_world, "device": device}
            return envs.make_vec(choice.id, num_envs, **place, **choice.options)
        if device != "cpu" and num_envs > 1:
            from agents.halves import HalvedEnvs

            return HalvedEnvs(
                *(_make_others(choice, n, vectorization) for n in (num_envs - num_envs // 2, num_envs // 2))
            )
        return _make_others(choice, num_envs, vectorization)


def _make_others(choice: EnvChoice, num_envs: int, vectorization: str) -> Any:
    """A vector env of an environment that is no world."""
    settings: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP}
    if is_atari(choice.id):
        settings |= {"vectorization_mode": "vector_entry_point", "reward_clipping": False}
        return gymnasium.make_vec(choice.id, num_envs, **(settings | choice.options))
    how: dict[str, Any] = {"vectorization_mode": vectorization, "wrappers": [OwnObservations]}
    if vectorization == "async":
        settings["context"] = "spawn"
    with _interrupts_ignored() if vectorization == "async" else contextlib.nullcontext():
        return gymnasium.make_vec(choice.id, num_envs, **how, vector_kwargs=settings, **choice.options)


class OwnObservations(gymnasium.Wrapper):
    """Copies what an environment shows.

    Many write into the same array each time; Gymnasium's batches that reset within the step keep the array alone and
    would give the next episode's first observation as the last one of the episode that ended.
    """

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """As the environment's."""
        obs, info = self.env.reset(**options)
        return copy.deepcopy(obs), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As the environment's."""
        obs, *others = self.env.step(action)
        return copy.deepcopy(obs), *others  # pyright: ignore


def make_one(choice: EnvChoice) -> Any:
    """A vector env of one that draws its picture: `render()` gives `(uint8 [height, width, 3],)`.

    It resets in the step after an episode's end, so that the last picture is the last picture.

    Raises:
        InputError: as `make_batch`, or an environment that can't be drawn.
    """
    with _judging(choice, "is to draw pictures"):
        if choice.is_world:
            mode: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}
        else:
            settings = {"autoreset_mode": AutoresetMode.NEXT_STEP}
            mode = {"vectorization_mode": "sync", "vector_kwargs": settings}
            if is_atari(choice.id):
                skip = choice.options.get("frameskip", 4)
                mode |= {"wrappers": [lambda env: _seen_as_in_batches(env, skip)]}
                choice = replace(choice, options=choice.options | {"frameskip": 1})
        return gymnasium.make_vec(choice.id, 1, render_mode="rgb_array", **mode, **choice.options)


def close(envs: Any) -> None:
    """Closes environments; what somebody else's have against it is said, and nothing is lost by it."""
    try:
        envs.close()
    except Exception as error:
        print(f"the environment's close failed with {type(error).__name__}: {error}", file=sys.stderr)


def is_atari(env_id: str) -> bool:
    """Whether it is one of ale_py's games."""
    return env_id.startswith("ALE/")


def _seen_as_in_batches(env: gymnasium.Env, frame_skip: int) -> gymnasium.Env:
    """An Atari game that is seen, and begins, as in ale_py's batches."""
    from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation

    return FrameStackObservation(FireReset(AtariPreprocessing(env, frame_skip=frame_skip)), 4)


class FireReset(gymnasium.Wrapper):
    """Presses FIRE when an episode begins, as games such as Breakout wait for it."""

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """As the game's, after FIRE where it has that."""
        obs, info = self.env.reset(**options)
        meanings: list[str] = self.unwrapped.get_action_meanings()  # pyright: ignore
        if "FIRE" in meanings:
            obs, _, terminated, truncated, info = self.env.step(meanings.index("FIRE"))
            if terminated or truncated:
                return self.env.reset(**options)
        return obs, info


def make_world(choice: EnvChoice, seats: Sequence[int] | None = None) -> Any:
    """One world in tensors, the seats given the caller's; it resets in the step after an episode's end.

    Raises:
        InputError: options with values that the world refuses.
    """
    with _judging(choice):
        return envs.make_vec(choice.id, 1, seats=seats, autoreset_mode="NextStep", **choice.options)


def spaces_of(env_id: str) -> tuple[Any, Any]:
    """Observation and action space of a world with its default options."""
    spec = gymnasium.registry[env_id]
    defaults = {name: value for name, value in spec.kwargs.items() if name != "world"}
    world = load_world(spec.kwargs["world"], **defaults)
    return world.observation_space, world.action_space


@contextlib.contextmanager
def _judging(choice: EnvChoice, purpose: str = "") -> Iterator[None]:
    """Errors while an environment is made are the user's, but for those of Quintet's worlds made without options."""
    ours = choice.is_world and not choice.options
    expected: tuple[type[Exception], ...] = (ValueError, gymnasium.error.Error) if ours else (Exception,)
    with _extras(choice.id), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (InputError, gymnasium.error.DependencyNotInstalled, ImportError):
            raise
        except expected as error:
            given = ", ".join(f"{flag(name)} {value}" for name, value in choice.options.items())
            kind = "" if isinstance(error, ValueError | gymnasium.error.Error) else f"{type(error).__name__}: "
            what = f"can't be made{' with ' + given if given else ''}" + (f" where it {purpose}" if purpose else "")
            raise InputError(f"{choice.id} {what}: {kind}{error}") from error


@contextlib.contextmanager
def _extras(env_id: str) -> Iterator[None]:
    """Says which extra to install where an environment's own dependencies are missing."""
    try:
        yield
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        entry_point = str(gymnasium.registry[env_id].entry_point)
        for extra, package in EXTRAS.items():
            if package in entry_point:
                raise InputError(_install(extra, f"{env_id} and its kind")) from error
        raise InputError(f"{env_id} can't be made, as something that it needs is missing here: {error}") from error


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Worker processes started inside leave Ctrl-C to us."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
