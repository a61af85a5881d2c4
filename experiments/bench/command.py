"""`quintet bench [SUITE]`: which figures to measure."""

import importlib

from experiments import flags
from experiments.errors import InputError, check_known

SUITES = {
    "standard": "experiments.bench.standard",
    "arena": "experiments.bench.arena",
    "ppo": "experiments.bench.ppo",
    "dqn": "experiments.bench.dqn",
    "ddpg": "experiments.bench.ddpg",
    "solve": "experiments.bench.solve",
    "jax": "experiments.bench.jax_loop",
    "puffer": "experiments.bench.puffer",
    "returns": "experiments.bench.returns",
    "league": "experiments.bench.league",
    "gpu": "experiments.bench.gpu",
    "warps": "experiments.bench.warps",
    "torchrun": "experiments.bench.torchrun",
}
"""Name -> module with `Options`, which has `turns`, and `main(options)`."""


def main(argv: list[str]) -> int:
    """`quintet bench ...`; returns the exit code."""
    if argv and argv[0] in ("-h", "--help"):
        print(f"usage: quintet bench [NAME] [flags]\n\nNAME is one of {', '.join(SUITES)}; without it, standard.\n")
    name = "standard"
    if argv and not argv[0].startswith("-"):
        name, *argv = argv
    check_known("benchmark", name, SUITES)
    suite = importlib.import_module(SUITES[name])
    options = flags.parse(suite.Options, argv, f"quintet bench {name}")
    if options.turns < 1:
        raise InputError(f"--turns must be at least 1, got {options.turns}")
    suite.main(options)
    return 0
