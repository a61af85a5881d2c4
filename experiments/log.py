"""Where a run's figures go: metrics.csv, timings.csv and TensorBoard. What it takes to evaluate while an agent learns
counts in seconds and steps a second."""

import time
from pathlib import Path
from typing import Any

from experiments.runs import Table


class RunLog:
    """Writes every iteration's metrics; what depends on the clock goes to timings.csv and TensorBoard only."""

    def __init__(self, run: Path, step: int | None = None) -> None:
        """Begins a log, or goes on with one after `step`, dropping what was logged beyond it."""
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.events: Any = event_pb2
        self.summaries: Any = summary_pb2
        self.metrics = Table(run / "metrics.csv", keep_until=step)
        self.timings = Table(run / "timings.csv", keep_until=step)
        self.writer = EventFileWriter(str(run))
        session = self.events.SessionLog(status=self.events.SessionLog.START)
        self._event((step or 0) + 1, session_log=session)
        before = float(self.timings.rows[-1].get("seconds") or 0) if self.timings.rows else 0.0
        self.started = time.perf_counter() - before

    def write(self, step: int, metrics: dict[str, float], steps_per_second: float) -> None:
        """One iteration that ended after `step`."""
        self.metrics.add(step, metrics)
        timings = {"seconds": time.perf_counter() - self.started, "steps_per_second": steps_per_second}
        self.timings.add(step, timings)
        self.scalars(step, {**metrics, "timings/steps_per_second": steps_per_second})

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """To TensorBoard only."""
        value = self.summaries.Summary.Value
        entries = [value(tag=name, simple_value=number) for name, number in values.items()]
        self._event(step, summary=self.summaries.Summary(value=entries))

    def _event(self, step: int, **content: Any) -> None:
        self.writer.add_event(self.events.Event(step=step, wall_time=time.time(), **content))

    def close(self) -> None:
        """Writes out what TensorBoard still holds back."""
        self.writer.close()
