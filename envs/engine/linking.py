"""Compiling a driver in one piece: rules become code that is linked, and is optimised once, with the driver.

numba optimises each function together with all that it calls and emits machine code for it, so a function at the
bottom of a hierarchy is optimised once for every function above it; a large world took five minutes. Here, while a
driver's entry point is compiled, every function that it reaches is only lowered and linked in.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any

from llvmlite.binding import Linkage
from numba.core import event, registry, types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import NumbaError, UnsupportedBytecodeError
from numba.np import arrayobj

APART = ("params", "tables", "obs", "mask")
"""Arguments of rules, by names that mean the same in all of them, whose memory nothing else overlaps: what was read
need not be read again after a row was written. It took a twentieth of the arena's time."""


class LinkedLibrary(JITCodeLibrary):
    """A function's code before optimisation, to be linked into others; it can't be called from Python."""

    def add_ir_module(self, ir_module: Any) -> None:
        """Takes in lowered code."""
        for function in ir_module.functions:
            for argument in function.args:
                name = argument.name.split(".")
                if name[0] == "arg" and name[1] in APART and argument.type.is_pointer:
                    argument.add_attribute("noalias")
        super().add_ir_module(ir_module)

    @property
    def codegen(self) -> "WithoutAddresses":
        """The code generator, to which this library's globals are unknown."""
        return WithoutAddresses(self._codegen)

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """None: nothing calls it by address."""
        return 0


class WholeLibrary(JITCodeLibrary):
    """An entry point's code with all that is linked into it.

    Nobody else calls that, so its functions may lose arguments that they don't use or that are always the same.
    """

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage == Linkage.linkonce_odr:
                function.linkage = "internal"
        super()._optimize_final_module()


class WithoutAddresses:
    """A code generator for code that has no address yet."""

    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, env_name: str, env: Any) -> None:
        """Nothing: a rule's environment serves exceptions alone, and a linked rule raises none."""


class Compiled(event.Listener):
    """Collects the dispatchers that are compiled, after a check."""

    def __init__(self, check: Callable[[], None]) -> None:
        self.check, self.dispatchers = check, list[Any]()

    def on_start(self, event: Any) -> None:
        """Notes a function whose compilation begins.

        Raises:
            ValueError: it is given a field of the state under one of the names in `APART`.
        """
        if not self.dispatchers:
            self.check()
        function = event.data["dispatcher"].py_func
        for name, kind in zip(signature(function).parameters, event.data["args"], strict=False):
            if name in APART and isinstance(kind, types.NestedArray):
                raise ValueError(
                    f"{function.__name__} is given a field of the state as its argument {name!r}, which in a rule is "
                    "never that; choose another name"
                )
        self.dispatchers.append(event.data["dispatcher"])

    def on_end(self, event: Any) -> None:
        """Nothing to do."""


def in_one_piece(entry: Any, check: Callable[[], None]) -> Any:
    """Makes a dispatcher, whose name no function bears that it calls, compile in one piece, after a check; returns it.

    What is found in the cache on disk is not checked: it is what its name says. The functions that it calls forget what
    was compiled of them, so that Python may call them as usual.
    """
    compile_entry = entry.compile

    def compile(argument_types: Any) -> Any:
        listener, name = Compiled(check), entry.py_func.__qualname__
        # under numba's own lock: functions of other threads, too, wait until it is as usual again
        with global_compiler_lock, _linked_but(name), event.install_listener("numba:compile", listener):
            try:
                return compile_entry(argument_types)
            except (NumbaError, UnsupportedBytecodeError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(_why(error, listener.dispatchers)) from error
            finally:
                for dispatcher in listener.dispatchers:
                    if dispatcher is not entry:
                        dispatcher._make_finalizer()()
                        dispatcher._reset_overloads()

    entry.compile = compile
    return entry


REMEDIES = (
    (r"Cannot bind 'args=", "a rule is called with too few or too many arguments"),
    (r"NRT required", "rules can't make lists, arrays, texts or sets; keep numbers in fields of the state"),
    (r"Untyped global name '(\w+)'", r"{0} is neither a number nor a rule; if it is a function, put @rule above it"),
    (r"NameError: name '(\w+)' is not defined", r"there is no {0}"),
    (r"No implementation of function Function\(<(?:built-in )?(?:function|class|ufunc) '?([\w.]+)", "rules can't call "
     "{0} so; use arithmetic, min, max, abs, loops, and what envs.engine gives"),
    (r"Unknown attribute '(\w+)'", "there is no {0}"),
)  # fmt: skip
"""What numba says, and what it comes to."""


def _why(error: Exception, compiled: list[Any]) -> str:
    """What stands in the way of compiling rules, and where, of all that numba says; `compiled` came before it."""
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    places = [line.rstrip(":") for line in lines if line.startswith("File ") and "driver.py" not in line]
    rules = [one.py_func for one in compiled if not one.py_func.__module__.startswith("numba.")]
    if not places and rules:
        code = rules[-1].__code__
        places = [f'File "{code.co_filename}", in {code.co_name}, line {code.co_firstlineno} and below']
    said = (line for line in lines if not line.startswith(("Failed in", "During", "File ", "^")))
    what = f"a record has no field {error}" if isinstance(error, KeyError) else next(said, type(error).__name__)
    for pattern, remedy in REMEDIES:
        if found := re.search(pattern, text):
            what = remedy.format(*found.groups())
            break
    where = f" ({places[-1]})" if places else ""
    return (
        f"the rules can't be compiled: {what[:300]}{where}; with QUINTET_DEBUG=1 they are ordinary Python and say more"
    )


@contextmanager
def _linked_but(entry: str) -> Iterator[None]:
    codegen = registry.cpu_target.target_context.codegen()  # pyright: ignore[reportAttributeAccessIssue]
    usual = codegen._library_class

    def library(owner: Any, name: str) -> JITCodeLibrary:
        return (WholeLibrary if name == entry else LinkedLibrary)(owner, name)

    library._unserialize = usual._unserialize  # pyright: ignore[reportFunctionMemberAccess]
    codegen._library_class = library
    try:
        with from_the_front(arrayobj):
            yield
    finally:
        codegen._library_class = usual


@contextmanager
def from_the_front(arrayobj: Any) -> Iterator[None]:
    """While this lasts, numba compiles indices as they are: none is taken to count from the end of its array.

    To ask of each whether it is negative took a tenth of the arena's time. `front.py` holds that none is, where rules
    are plain Python.

    Args:
        arrayobj: the module of that name in numba, or in numba-cuda.
    """
    usual = arrayobj.fix_integer_index
    arrayobj.fix_integer_index = lambda context, builder, kind, index, size: context.cast(
        builder, index, kind, types.intp
    )
    try:
        yield
    finally:
        arrayobj.fix_integer_index = usual
