"""`quintet league --ship RUN NAME`: a run's policy, without what training needs, into the package."""

import shutil
from dataclasses import dataclass
from typing import Annotated

import tyro

from agents import checkpoint
from experiments import flags, runs
from experiments.errors import InputError
from experiments.trained import read_checkpoint

LARGEST = 5_000_000
"""Bytes of a policy that is shipped."""


@dataclass(frozen=True)
class Options:
    """Puts a trained policy into the package: `quintet play NAME` then finds it everywhere."""

    run: flags.Run
    """Run folder, a name in --runs-dir, or "latest"."""
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """What it will be called."""
    checkpoint: str | None = None
    """A step, a file or "best"; the last one by default."""
    runs_dir: str = "runs"
    """Folder of run folders."""


def main(argv: list[str]) -> int:
    """`quintet league --ship ...`; returns the exit code."""
    options = flags.parse(Options, argv, "quintet league --ship")
    if not options.name.replace("_", "").isalnum():
        raise InputError(f"NAME must be letters, digits and _, got {options.name!r}")
    run = runs.find(options.run, options.runs_dir)
    path = runs.find_checkpoint(run, options.checkpoint)
    policy = read_checkpoint(path)["train"]["policy"]
    size = sum(value.numel() * value.element_size() for value in policy.values())
    if size > LARGEST:
        raise InputError(f"the policy of {run} has {size / 1e6:.1f} MB; at most {LARGEST / 1e6:.0f} MB are shipped")
    target = runs.SHIPPED / options.name
    shutil.rmtree(target, ignore_errors=True)
    (target / "checkpoints").mkdir(parents=True)
    runs.write_config(target, runs.read_config(run))
    checkpoint.save(target / "checkpoints" / path.name, {"train": {"policy": policy}})
    print(f"shipped: {target}, {size / 1e6:.2f} MB; quintet play {options.name}")
    return 0
