"""Ids and entry points: how a name becomes a world."""

import difflib
import importlib
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import gymnasium

if TYPE_CHECKING:
    from envs.engine.rules import World
    from envs.engine.vector import WorldVectorEnv

SINGLE = "envs.engine.single:SingleEnv"
VECTOR = "envs.engine.vector:make_numpy"
BATCH_OPTIONS = ("seed", "seats", "first_world", "num_threads", "autoreset_mode")


def register_world(id: str, entry_point: str, **options: Any) -> None:
    """Registers a world for `gymnasium.make`, `gymnasium.make_vec` and `make_vec`.

    Args:
        id: the name, "[namespace/]Name-vN".
        entry_point: "module:attribute": a `World`, or a function of options that returns one.
        options: defaults of the function's options for this id.

    Raises:
        ValueError: the entry point has no "module:attribute" form.
    """
    if not isinstance(entry_point, str) or entry_point.count(":") != 1:
        raise ValueError(f'the entry point of {id} must be a string "module:attribute", got {entry_point!r}')
    gymnasium.register(
        id, entry_point=SINGLE, vector_entry_point=VECTOR, kwargs={"world": entry_point, **options}, order_enforce=True
    )


def registered_worlds() -> dict[str, str]:
    """id -> entry point of every world registered so far."""
    specs = gymnasium.registry.values()
    return {spec.id: spec.kwargs["world"] for spec in specs if spec.vector_entry_point == VECTOR}


def make_vec(
    id: "str | World",
    num_worlds: int,
    *,
    device: str = "cpu",
    seed: int = 0,
    seats: "str | Sequence[int] | None" = None,
    first_world: int = 0,
    num_threads: int | None = None,
    autoreset_mode: str = "SameStep",
    **options: Any,
) -> "WorldVectorEnv":
    """A batch of worlds that takes and gives torch tensors.

    Args:
        id: a registered id, or a `World`.
        num_worlds: worlds in the batch; the rows are `num_worlds * num_seats`.
        device: where worlds and tensors are: "cpu", or "cuda", "cuda:1" and so on.
        seed: starts episode 0 at the first reset.
        seats: "all" (default), "team" (the first), or seat numbers; the rest are scripted.
        first_world: index of the first world, where the batch is a part of a larger one that plays the same games.
        num_threads: threads to step with on a CPU; torch's number by default. Results don't depend on it.
        autoreset_mode: "SameStep", "NextStep" or "Disabled", as Gymnasium names them.
        options: the world's own.

    Raises:
        ValueError: an id, option, device or seat that doesn't exist, with the nearest that does.
    """
    from envs.engine.vector import WorldVectorEnv

    kind = str(device).split(":")[0]
    if kind not in ("cpu", "cuda"):
        raise ValueError(f'worlds step on a CPU or an NVIDIA GPU, got device={str(device)!r}; use "cpu" or "cuda"')
    world, defaults = _resolve(id)
    if isinstance(world, str):
        world = load_world(world, **{**defaults, **options})
    elif options:
        raise ValueError(f"a World has its options built in, got {sorted(options)}; pass them to its function")
    batch: dict[str, Any] = {"seed": seed, "seats": seats, "first_world": first_world, "autoreset_mode": autoreset_mode}
    if kind == "cuda":
        from envs.engine.vector_cuda import CudaVectorEnv

        return CudaVectorEnv(world, num_worlds, device=device, **batch)
    return WorldVectorEnv(world, num_worlds, num_threads=num_threads, **batch)


def _resolve(id: "str | World") -> "tuple[str | World, dict[str, Any]]":
    if not isinstance(id, str):
        return id, {}
    if ":" in id:
        module, id = id.split(":", 1)
        importlib.import_module(module)
    spec = gymnasium.registry.get(id)
    if spec is None or spec.vector_entry_point != VECTOR:
        worlds = sorted(registered_worlds())
        raise ValueError(f"no world {id!r} is registered{did_you_mean(id, worlds)}; there are: {', '.join(worlds)}")
    defaults = dict(spec.kwargs)
    return defaults.pop("world"), defaults


def load_world(entry_point: str, **options: Any) -> "World":
    """The World behind "module:attribute", built with the given options.

    Raises:
        ValueError: no such module, attribute or option.
    """
    from envs.engine.rules import World

    module_name, attribute = entry_point.split(":")
    module = importlib.import_module(module_name)
    if not hasattr(module, attribute):
        raise ValueError(f"{module_name} has no {attribute!r}{did_you_mean(attribute, vars(module))}")
    found = getattr(module, attribute)
    world = found if isinstance(found, World) else _call(found, entry_point, options)
    if isinstance(found, World) and options:
        raise ValueError(f"{world.name} takes no options, got {sorted(options)}")
    if not isinstance(world, World):
        raise ValueError(f"{entry_point} must be a World or a function that returns one, got {type(world).__name__}")
    return world


def _call(function: Callable[..., Any], entry_point: str, options: dict[str, Any]) -> Any:
    parameters = inspect.signature(function).parameters
    names = [name for name, parameter in parameters.items() if parameter.kind != parameter.VAR_KEYWORD]
    for name in options:
        if name not in names and len(names) == len(parameters):
            known = f"its options: {', '.join(names)}" if names else "it takes none"
            raise ValueError(f"{entry_point} has no option {name!r}{did_you_mean(name, names)}; {known}")
    return function(**options)


def split_options(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the batch, and the world's own."""
    batch = {name: value for name, value in options.items() if name in BATCH_OPTIONS}
    return batch, {name: value for name, value in options.items() if name not in BATCH_OPTIONS}


def did_you_mean(name: str, known: Any, prefix: str = "") -> str:
    """' (did you mean ...?)' with the nearest known name, or nothing. That names have `prefix` is no likeness."""
    shorter = {one.removeprefix(prefix): one for one in known}
    nearest = difflib.get_close_matches(name.removeprefix(prefix), shorter, n=1, cutoff=0.55)
    return f" (did you mean {shorter[nearest[0]]!r}?)" if nearest else ""
