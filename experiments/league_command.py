"""`quintet league`: teams that learn by self-play."""

from experiments import league_report, ship, train

USAGE = """usage: quintet league ENV_ID [flags] [--env.KEY VALUE ...]
       quintet league --resume RUN
       quintet league --report RUN [RUN ...] [flags]
       quintet league --ship RUN NAME

Trains one policy in all seats of a world of two teams, against itself and its frozen past, and leaves a run folder.

examples:
  quintet league quintet/Duel-v0
  quintet league quintet/Arena-v0 --total-timesteps 50000000

`quintet league ENV_ID --help` lists every flag with the value that it has for this world;
`quintet play RUN` then sets the team against the world's best scripted player, `--report RUN...` everybody against
everybody, in a cross table with ratings (`quintet league --report --help`)."""


def main(argv: list[str]) -> int:
    """`quintet league ...`; returns the exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    if "--report" in argv:
        return league_report.main([word for word in argv if word != "--report"])
    if "--ship" in argv:
        return ship.main([word for word in argv if word != "--ship"])
    return train.main(argv if "--resume" in argv else ["league", *argv])
