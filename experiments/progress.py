"""A progress line: where training stands, steps a second, the return, the time left."""

import os
import sys
import time
from collections import deque
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

WINDOW = 10.0
"""Seconds over which the speed is measured."""
EVERY = 10.0
"""Seconds between lines where the output is no terminal."""
WIDE = 100
"""Columns of a terminal on which a long bar leaves room for all that is told."""


class ProgressLine:
    """One line that renews itself on a terminal; elsewhere (a file, a pipe) a line every ten seconds."""

    def __init__(self, total: int, step: int = 0) -> None:
        self.total, self.step = total, step
        self.recent: deque[tuple[float, int]] = deque([(time.perf_counter(), step)])
        self.last_return: float | None = None
        self.last_line = time.perf_counter()
        console = Console()
        self.bar: Any = None
        if console.is_terminal and not console.is_dumb_terminal:
            columns = (BarColumn(bar_width=20 if console.width >= WIDE else 6), TextColumn("{task.fields[shown]}"))
            self.bar = Progress(*columns, console=console, transient=False)
            self.task = self.bar.add_task("training", total=total, completed=step, shown="")
            self.bar.start()

    def update(self, step: int, metrics: dict[str, float]) -> None:
        """Shows where it stands after an iteration."""
        now = time.perf_counter()
        self.step = step
        self.last_return = metrics.get("charts/episodic_return", self.last_return)
        self.recent.append((now, step))
        while len(self.recent) > 2 and now - self.recent[0][0] > WINDOW:
            self.recent.popleft()
        if self.bar is not None:
            self.bar.update(self.task, completed=step, shown=self.text())
        elif now - self.last_line >= EVERY and step < self.total:
            self.last_line = now
            self._say()

    def _say(self) -> None:
        """Prints a line; training goes on where nobody reads it any more."""
        try:
            print(f"training {self.text()}", flush=True)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def speed(self) -> float:
        """Steps a second, lately."""
        (then, before), (now, step) = self.recent[0], self.recent[-1]
        return (step - before) / max(now - then, 1e-9)

    def text(self) -> str:
        """For example "51,200 of 100,000 steps · 21,000 steps/s · return 312.4 · 2 s left"."""
        parts = [f"{self.step:,} of {self.total:,} steps"]
        if (speed := self.speed()) > 0:
            parts.append(f"{speed:,.0f} steps/s")
        if self.last_return is not None:
            parts.append(f"return {self.last_return:.4g}")
        if speed > 0 and self.step < self.total:
            parts.append(f"{duration((self.total - self.step) / speed)} left")
        return " · ".join(parts)

    def close(self) -> None:
        """Leaves the last line as it stands."""
        if self.bar is not None:
            self.bar.stop()
        else:
            self._say()


def say_cut_off(max_steps: int) -> None:
    """Tells that an episode was not played to its end, and why."""
    print(f"cut off after {max_steps:,} steps; --max-steps 0 plays on", flush=True)


def duration(seconds: float) -> str:
    """ "42 s", "3 min 20 s", "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
