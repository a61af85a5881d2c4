"""Flags from dataclasses: every field is one, and its docstring is the help. Errors are one line."""

import ast
import contextlib
import io
import json
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import tyro

from experiments.errors import InputError

Given = TypeVar("Given")

Run = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
"""The first word: which run folder."""

Modules = Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
"""The values of a flag that may be given several times."""


def parse(target: Callable[..., Any], argv: list[str], prog: str, description: str = "") -> Any:
    """Builds a dataclass, or calls a function, with what the command line says; --help prints and ends.

    Raises:
        InputError: an unknown flag, with the nearest that there is, or a value that doesn't fit.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(target, args=argv, prog=prog, description=description or None)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise InputError(f"{_one_line(said.getvalue())}; see {prog} --help") from None
    except ValueError as error:
        raise InputError(str(error)) from error


def parse_with_config(
    options: type[Given], config: Any, argv: list[str], prog: str, description: str
) -> tuple[Given, Any]:
    """Options and a Config from one command line, their flags side by side; what is not given is as in `config`.

    Raises:
        InputError: as `parse`.
    """

    def both(*, config: Any = config, options: Any) -> tuple[Any, Any]:
        return options, config

    flat = tyro.conf.arg(name="")
    both.__annotations__ = {"config": Annotated[type(config), flat], "options": Annotated[options, flat]}
    return parse(both, argv, prog, description)


SAID = (
    (r"^Error parsing ", ""),
    (r"invalid literal for int\(\) with base 10: ('.*?')", r"\1 is no whole number"),
    (r"could not convert string to float: ('.*?')", r"\1 is no number"),
    (r"Could not find valid parse for arguments: \[(.*?)\]", r"\1 is none of what it takes"),
)
"""What Python or tyro says, and what we say in its place."""


def _one_line(box: str) -> str:
    """The message in the box that tyro paints, in Unicode or ASCII, and what it supposes was meant."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip("│╭╮╰╯─ ") for line in box.splitlines()]
    sections: list[list[str]] = [[]]
    for line in lines[1:]:
        sections[-1].append(line) if line.strip("-") else sections.append([])
    sections = [section for section in sections if section]
    message = " ".join(sections[0]) if sections else "the command line can't be read"
    for section in sections[1:]:
        if section[0].startswith("Perhaps you meant") and len(section) > 1:
            message += f"; did you mean {section[1].split()[0].rstrip(',')}?"
    if message.startswith("Unrecognized options: "):
        words = re.findall(r"--[\w.-]+", message.partition(";")[0])
        if not words:
            return f"unexpected {message.partition(': ')[2].split()[0]!r}: there is one too many"
        return f"unknown option {words[0]}" + "".join(message.partition(";")[1:])
    for told, ours in SAID:
        message = re.sub(told, ours, message)
    return message


def split_env_options(argv: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Takes `--env.KEY VALUE` and `--env.KEY=VALUE` out of a command line; a key with no value means True.

    Raises:
        InputError: a key given twice, or none.
    """
    options: dict[str, Any] = {}
    rest: list[str] = []
    waiting = list(argv)
    while waiting:
        word = waiting.pop(0)
        if not word.startswith("--env."):
            rest.append(word)
            continue
        key, equals, text = word.removeprefix("--env.").partition("=")
        key = key.replace("-", "_")
        if not key or key in options:
            raise InputError(f"{word}: {'it is given twice' if key else 'write --env.KEY VALUE'}")
        if not equals:
            text = waiting.pop(0) if waiting and not waiting[0].startswith("--") else "True"
        options[key] = value(text)
    return options, rest


def value(text: str) -> Any:
    """A number, True, False, None or a list as Python or JSON writes it; any other text is itself."""
    words = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        found = ast.literal_eval(text)
        json.dumps(found)  # as a run's configuration will
        return found
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
