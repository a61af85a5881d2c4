"""`quintet envs`: what can be trained on, with spaces and options."""

import importlib
import inspect
from dataclasses import dataclass
from typing import Annotated, Any

import gymnasium
import tyro

import envs
from experiments import flags
from experiments.flags import Modules
from experiments.worlds import choose, env_options, flag, import_modules, spaces_of, world_maker


@dataclass(frozen=True)
class Options:
    """Lists the worlds registered, or describes one environment."""

    id: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[ENV_ID]")] = None
    """Describes this one, with its options."""
    all: bool = False
    """Names Gymnasium's environments too."""
    module: Modules = ()
    """A module of your own that registers environments."""


def main(argv: list[str]) -> int:
    """`quintet envs ...`; returns the exit code."""
    options = flags.parse(Options, argv, "quintet envs")
    import_modules(options.module)
    if options.id is not None:
        describe(options.id)
    else:
        list_worlds()
        if options.all:
            list_others()
    return 0


def list_worlds() -> None:
    """A paragraph a world: id, spaces, options."""
    for env_id in envs.registered_worlds():
        observation_space, action_space = spaces_of(env_id)
        print(env_id)
        print(f"  observation  {short(observation_space)}")
        print(f"  action       {short(action_space)}")
        if names := list(env_options(env_id)[0]):
            print(f"  options      {' '.join(map(flag, names))}")
    print("\n`quintet envs ID` explains the options of one; `quintet envs --all` adds Gymnasium's environments.")


def list_others() -> None:
    """Gymnasium's ids, the newest version of each."""
    newest: dict[str, Any] = {}
    others = (spec for spec in gymnasium.registry.values() if spec.id not in envs.registered_worlds())
    for spec in sorted(others, key=lambda spec: spec.version or 0):
        newest[f"{spec.namespace}/{spec.name}"] = spec
    print("\nGymnasium's:")
    for env_id in sorted(spec.id for spec in newest.values()):
        print(f"  {env_id}")


def describe(env_id: str) -> None:
    """Spaces, options with their defaults, and what the author says of them."""
    choose(env_id)
    is_world = env_id in envs.registered_worlds()
    print(env_id)
    if is_world:
        observation_space, action_space = spaces_of(env_id)
        print(f"  observation  {observation_space}\n  action       {action_space}")
    for name, parameter in env_options(env_id)[0].items():
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        print(f"  {flag(name)}{default}")
    if is_world and (text := _said_of(env_id)):
        print("\n" + text)


def _said_of(env_id: str) -> str | None:
    """By its function of options, or else by the module that a world stands in."""
    maker = world_maker(env_id)
    if not callable(maker):
        maker = importlib.import_module(envs.registered_worlds()[env_id].split(":")[0])
    return inspect.getdoc(maker)


def short(space: gymnasium.Space) -> str:
    """A space in a few words: the bounds of a Box only where all are the same."""
    if not isinstance(space, gymnasium.spaces.Box):
        return str(space)
    low, high = space.low.min(), space.high.max()
    same = (space.low == low).all() and (space.high == high).all()
    bounds = f", {low:g} to {high:g}" if same else ""
    return f"Box{space.shape}{bounds}, {space.dtype}"
