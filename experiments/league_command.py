"""`quintet league`: teams that learn by self-play."""

from experiments import train

USAGE = """usage: quintet league ENV_ID [flags] [--env.KEY VALUE ...]
       quintet league --resume RUN

Trains one policy in all seats of a world of two teams, against itself and its frozen past, and leaves a run folder.

examples:
  quintet league quintet/Duel-v0
  quintet league quintet/Arena-v0 --total-timesteps 50000000

`quintet league ENV_ID --help` lists every flag with the value that it has for this world;
`quintet evaluate RUN` and `quintet play RUN` then set the team against the world's scripted players."""


def main(argv: list[str]) -> int:
    """`quintet league ...`; returns the exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    return train.main(argv if "--resume" in argv else ["league", *argv])
