"""The command `quintet`: a table of programs, each imported when it is asked for."""

import importlib
import os
import sys

from experiments.errors import UNWRITABLE, InputError, check_known

COMMANDS = {
    "train": ("experiments.train", "train an agent on an environment, or go on with a run"),
    "league": ("experiments.league_command", "train teams by self-play against themselves and their past"),
    "surgery": ("experiments.surgery", "go on with a larger network, or in a world that shows and takes more"),
    "play": ("experiments.play", "watch a trained agent, in a window or in a video"),
    "evaluate": ("experiments.evaluate", "measure a trained agent over many episodes"),
    "export": ("experiments.export", "write a trained policy as TorchScript or ONNX, to run it elsewhere"),
    "report": ("experiments.report", "train every preset with several seeds and write one table"),
    "ablation": ("experiments.ablation", "train leagues with parts switched off or on and write one table"),
    "plot": ("experiments.plot", "draw a metric of runs as curves, with the spread over seeds"),
    "envs": ("experiments.list_envs", "list environments with their spaces and options"),
    "demo": ("experiments.demo", "train two agents, evaluate them, leave a video (a minute or two)"),
    "arena-games": ("experiments.arena_games", "play the arena's scripted players against each other"),
    "bench": ("experiments.bench.command", "measure speed beside others; quintet bench NAME, see --help"),
}
"""Name -> (module whose `main(argv)` gives the exit code, what it does)."""

USAGE = f"""usage: quintet COMMAND ...

Reinforcement-learning worlds and agents.

{chr(10).join(f"  {name:<12} {text}" for name, (_, text) in COMMANDS.items())}

start with: quintet train ppo quintet/CartPole-v1
`quintet COMMAND --help` tells more, `quintet --version` which version this is."""


def main(argv: list[str] | None = None) -> int:
    """Runs a command line (`sys.argv` by default) and returns its exit code; bad input is told in a line, code 2.

    QUINTET_DEBUG=1 shows the traceback of bad input too.
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        return _run(argv)
    except InputError as error:
        if os.environ.get("QUINTET_DEBUG", "") not in ("", "0"):
            raise
        print(f"quintet: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "allocate memory" not in str(error):
            raise
        fewer = "smaller numbers, such as those of environments, steps or layers, need less"
        print(f"quintet: there is not enough memory: {error}; {fewer}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("quintet: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        name = f" ({error.filename})" if error.filename else ""
        print(f"quintet: {error.strerror}{name}; make room there, or choose another place", file=sys.stderr)
        return 2


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(USAGE)
        return 0
    if argv == ["--version"]:
        from importlib.metadata import version

        print(f"quintet {version('quintet')}")
        return 0
    name, *rest = argv
    check_known("command", name, COMMANDS)
    return importlib.import_module(COMMANDS[name][0]).main(rest)


if __name__ == "__main__":
    sys.exit(main())
