"""One driver module a world: the loops round its rules, written as source, compiled by numba and cached on disk.

numba's own cache serves old code after a rule in another file was edited. So the driver lies in a folder named by a
hash of everything that is compiled into it: the module and the bytecode of each rule that the world reaches, the
constants they read, the record types, the engine's template, how it compiles, and the versions. An edited rule is a
new folder, hence a miss; nothing else is.
"""

import dis
import hashlib
import importlib.util
import os
import random
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from envs.engine.driver import constants, driver_source, num_phases
from envs.engine.front import fronted
from envs.engine.rules import DEBUG, JIT_OPTIONS, Rule, World, param_records, plain, real, record_dtype

KEPT_DRIVERS = 16
"""Folders a world keeps in the cache; the least recently used go first."""

SMALL_WORLD = 12
"""Worlds of fewer phases have their resets and observations inlined in the step; in larger ones that would only cost
compile time."""


class Kernels(NamedTuple):
    """The compiled entry points of one world; see the template in driver.py for their arguments."""

    first_bad_action: Callable[..., int]
    drive: Callable[..., int]


_LOADED: dict[str, Kernels] = {}


def kernels(world: World) -> Kernels:
    """The world's kernels: from this process, else from the cache on disk, else compiled at the first call."""
    source, rules = driver_source(world)
    digest = fingerprint(world, source, rules)
    if digest not in _LOADED:
        found = constants(world)
        if DEBUG:
            _LOADED[digest] = _plain_kernels(source, found | {name: fronted(rule) for name, rule in rules.items()})
        else:
            _LOADED[digest] = _compiled(world, digest, source, found, rules)
    return _LOADED[digest]


def _plain_kernels(source: str, namespace: dict[str, Any]) -> Kernels:
    def identity(function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    def quiet(function: Callable[..., Any]) -> Callable[..., Any]:
        return np.errstate(over="ignore")(function)

    namespace |= {"jit": identity, "jit_part": identity, "jit_cached": quiet, "fixed": identity}
    exec(compile(source, "<driver>", "exec"), namespace)
    return Kernels(*(namespace[name] for name in Kernels._fields))


def _compiled(world: World, digest: str, source: str, namespace: dict[str, Any], rules: dict[str, Rule]) -> Kernels:
    import numba

    from envs.engine.fixed import fixing
    from envs.engine.linking import in_one_piece

    def cached_kernel(function: Callable[..., Any]) -> Any:
        dispatcher = _lenient(numba.njit(**JIT_OPTIONS, cache=cached)(function))
        return in_one_piece(dispatcher, lambda: check_unchanged(world, digest, source, rules))

    path, cached = driver_file(world.name, digest, source)
    namespace |= rules | {
        "jit": numba.njit(**JIT_OPTIONS),
        "jit_part": numba.njit(**JIT_OPTIONS, forceinline=num_phases(world) < SMALL_WORLD),
        "fixed": fixing(param_records(world), world.fixed),
        "jit_cached": cached_kernel,
    }
    spec = importlib.util.spec_from_file_location(f"quintet_driver_{digest}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    vars(module).update(namespace)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return Kernels(*(getattr(module, field) for field in Kernels._fields))


def check_unchanged(world: World, digest: str, source: str, rules: dict[str, Rule]) -> None:
    """To be asked before rules are compiled, which is when their globals are read.

    Raises:
        ValueError: what they read is not what the digest was made of.
    """
    if fingerprint(world, source, rules) != digest:
        raise ValueError(
            f"{world.name}: a global that its rules read is not what it was when the world was made; globals are "
            "constants of compiled rules, so hand over what changes in params or tables"
        )


def _lenient(dispatcher: Any) -> Any:
    """Has a function compiled anew where what was cached of it is damaged, and warns where it can't be cached."""
    cache = dispatcher._cache
    load, save = cache.load_overload, cache.save_overload

    def load_overload(*key: Any) -> Any:
        try:
            return load(*key)
        except Exception:  # numba unpickles what it finds and hands it to LLVM, so it may be any
            with suppress(OSError):
                cache.flush()
            return None

    def save_overload(*key_and_code: Any) -> None:
        try:
            save(*key_and_code)
        except OSError as error:
            _warn_uncached(error)

    cache.load_overload, cache.save_overload = load_overload, save_overload
    return dispatcher


def _warn_uncached(error: OSError) -> None:
    warnings.warn(
        f"compiled worlds can't be cached in {cache_folder()} ({error.strerror}), so each process compiles anew; "
        "set QUINTET_CACHE_DIR to a folder that can be written",
        RuntimeWarning,
        stacklevel=3,
    )


def cache_folder() -> Path:
    """Where compiled worlds are kept: $QUINTET_CACHE_DIR, else $XDG_CACHE_HOME/quintet, else ~/.cache/quintet."""
    if chosen := os.environ.get("QUINTET_CACHE_DIR"):
        return Path(os.path.expanduser(chosen))
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "quintet"


def driver_file(name: str, digest: str, source: str) -> tuple[Path, bool]:
    """The driver's file and whether code can be cached beside it; where it can't, says so once."""
    folder = cache_folder() / f"{name}-{digest}"
    path = folder / "driver.py"
    try:
        (folder / "__pycache__").mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as handle:
            handle.write(source)
        if path.exists() and path.read_text() == source:
            os.unlink(handle.name)
        else:
            os.replace(handle.name, path)
        os.utime(folder)
        _prune(folder)
        return path, True
    except OSError as error:
        _warn_uncached(error)
    scratch = Path(tempfile.mkdtemp(prefix="quintet-")) / "driver.py"
    scratch.write_text(source)
    return scratch, False


def _prune(newest: Path) -> None:
    name, digest = newest.name.rsplit("-", 1)
    own = newest.parent.glob(f"{name}-{'[0-9a-f]' * len(digest)}")
    drivers = sorted(own, key=lambda folder: folder.stat().st_mtime, reverse=True)
    for old in drivers[KEPT_DRIVERS:]:
        shutil.rmtree(old, ignore_errors=True)


def fingerprint(world: World, source: str, rules: dict[str, Rule]) -> str:
    """A hash of all that is compiled into the world's driver, 16 hex digits."""
    import numba

    versions = f"{sys.version} {np.__version__} {numba.__version__} {real.__name__} {JIT_OPTIONS}"
    digest = hashlib.sha256(versions.encode())
    for part in ("compile.py", "linking.py", "fixed.py", "cuda.py", "cuda_llvm.py"):
        digest.update((Path(__file__).parent / part).read_bytes())
    digest.update(source.encode())
    digest.update(repr((record_dtype(world).descr, param_records(world).dtype.descr)).encode())
    digest.update(repr([(name, param_records(world)[name][0].item()) for name in world.fixed]).encode())
    digest.update(repr([(name, table.dtype.descr) for name, table in world.tables.items()]).encode())
    digest.update(repr((world.observation_space.dtype, world.observation_space.shape)).encode())
    seen: set[Any] = set()
    for value in (*rules.values(), *constants(world).values()):
        for piece in _pieces(value, seen):
            digest.update(piece)
    return digest.hexdigest()[:16]


TOLD_APART = FunctionType | int | float | tuple | list | Enum | type | np.generic | np.ndarray | ModuleType
"""What of a module is compiled into a rule that reads it."""


def _pieces(value: Any, seen: set[Any], names: tuple[str, ...] = ()) -> Iterator[bytes]:
    """The bytes that tell a global apart: of a function its code and, in turn, the globals it reads; `names` are what
    the code that reads it says.
    """
    function = plain(value)
    if isinstance(function, FunctionType):
        if id(function) in seen:
            return
        seen.add(id(function))
        yield from _function_pieces(function, seen)
    elif isinstance(value, np.ndarray):
        yield repr((value.dtype.descr, value.shape)).encode() + value.tobytes()
    elif isinstance(value, tuple | list):
        yield f"{type(value).__name__} {getattr(value, '_fields', '')} of {len(value)}".encode()
        for one in value:
            yield from _pieces(one, seen, names)
    elif isinstance(value, type):
        yield f"{value.__module__}.{value.__qualname__} {getattr(value, '_fields', '')} {_members(value)}".encode()
    elif isinstance(value, Enum):
        yield f"{type(value).__qualname__}.{value.name} {value.value!r}".encode()
    elif isinstance(value, ModuleType):
        yield from _module_pieces(value, seen, names)
    else:
        yield f"{type(value).__name__} {value!r}".encode()


def _members(value: type) -> str:
    return repr([(name, member.value) for name, member in getattr(value, "__members__", {}).items()])


def _module_pieces(module: ModuleType, seen: set[Any], names: tuple[str, ...]) -> Iterator[bytes]:
    """What code that names these reads of a module, and of the modules in it; NumPy's and numba's version is enough."""
    if module.__name__.split(".")[0] in ("numpy", "numba", "math") or (id(module), names) in seen:
        return
    seen.add((id(module), names))
    for name in names:
        member: Any = getattr(module, name, None)
        if isinstance(plain(member), TOLD_APART):
            yield name.encode()
            yield from _pieces(member, seen, names)


def _function_pieces(function: FunctionType, seen: set[Any]) -> Iterator[bytes]:
    yield function.__module__.encode()  # what numba keeps on disk imports it
    yield from _code_pieces(function.__code__)
    yield repr(function.__defaults__).encode()
    names = tuple(sorted(_names(function.__code__)))
    for cell in function.__closure__ or ():
        yield from _pieces(cell.cell_contents, seen, names)
    steps = list(dis.get_instructions(function))
    called = {one.argval for one in steps if one.opname == "LOAD_GLOBAL"}
    if not DEBUG and any(one.opname == "RAISE_VARARGS" for one in steps):
        raise ValueError(
            f"the rule {function.__name__} raises or asserts, which compiled rules can't: a GPU would go on without a "
            "word; do so under QUINTET_DEBUG=1 alone, or in `validate`"
        )
    if not DEBUG and "print" in called - function.__globals__.keys():
        raise ValueError(f"the rule {function.__name__} prints, which compiled rules can't; use QUINTET_DEBUG=1")
    _refuse_chance(function, steps)
    for name in names:
        if name not in function.__globals__:
            continue
        value = function.__globals__[name]
        if plain(value) is function and name in called:
            raise ValueError(f"the rule {function.__name__} calls itself, which compiled rules can't; use a loop")
        yield name.encode()
        yield from _pieces(value, seen, names)


def _refuse_chance(function: FunctionType, steps: list[dis.Instruction]) -> None:
    """Holds that all chance comes from the record: that of others is not the same in a batch, on threads, on a GPU."""
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        value = function.__globals__.get(step.argval) if step.opname == "LOAD_GLOBAL" else None
        numpys = value is np and following is not None and following.argval == "random"
        drawing = value is random or value is np.random or isinstance(getattr(value, "__self__", None), random.Random)
        if numpys or drawing:
            raise ValueError(
                f"the rule {function.__name__} draws from {step.argval}{'.random' if numpys else ''}; use randint or "
                "uniform of envs.engine, which are the same in every batch"
            )


def _names(code: CodeType) -> set[str]:
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*(_names(const) for const in inner))


def _code_pieces(code: CodeType) -> Iterator[bytes]:
    yield code.co_code
    yield repr((code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)).encode()
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _code_pieces(const)
        else:
            yield f"{type(const).__name__} {const!r}".encode()
