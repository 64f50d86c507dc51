"""Beside the flow: one line that says how far a long job is."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from weathersvq.data.prepare import Progress as Prepared
    from weathersvq.reproduce.runner import Outcome


class PrepareLine:
    """Times done of all, frames/s, MB/s read and time left; on a terminal it moves.

    Elsewhere (a log file) a line is written each minute.
    """

    LOG_SECONDS = 60

    def __init__(self, maps_a_time: int) -> None:
        self.maps_a_time = maps_a_time
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} times"),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self.console,
        )
        self.task = self.bar.add_task("prepare", total=None, figures="")
        self.started = self.logged = time.monotonic()
        self.figures = ""

    def __enter__(self) -> PrepareLine:
        if self.console.is_terminal:
            self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()
        if not self.console.is_terminal and self.figures:
            seconds = time.monotonic() - self.started
            self.console.print(f"{self.figures}, {seconds:.0f} s", highlight=False)

    def __call__(self, progress: Prepared) -> None:
        seconds = max(time.monotonic() - self.started, 1e-9)
        if progress.new_times:
            self.figures = (
                f"{progress.new_times * self.maps_a_time / seconds:,.0f} frames/s, "
                f"{progress.bytes_read / 1e6 / seconds:,.0f} MB/s read"
            )
        self.bar.update(
            self.task,
            description=progress.stage,
            completed=progress.times,
            total=progress.of,
            figures=self.figures,
        )
        if not self.console.is_terminal and time.monotonic() - self.logged > self.LOG_SECONDS:
            self.logged = time.monotonic()
            left = self.bar.tasks[self.task].time_remaining
            rest = "" if left is None else f", {left / 60:.0f} min left"
            self.console.print(
                f"{progress.times}/{progress.of} times, {self.figures}{rest}", highlight=False
            )


class CountLine:
    """How many of how many, and the time left; on a terminal only."""

    def __init__(self, what: str) -> None:
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn(f"[bold]{what}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self.console,
        )
        self.task = self.bar.add_task(what, total=None)

    def __enter__(self) -> CountLine:
        if self.console.is_terminal:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Stopped without a terminal, it would leave an empty line in the log.
        if self.console.is_terminal:
            self.bar.stop()

    def __call__(self, done: int, of: int) -> None:
        self.bar.update(self.task, completed=done, total=of)


class RunsLine:
    """Runs done of all, with each one's end on a line of its own."""

    def __init__(self, total: int) -> None:
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("[bold]runs"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self.console,
        )
        self.task = self.bar.add_task("runs", total=total)

    def __enter__(self) -> RunsLine:
        if self.console.is_terminal:
            self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def __call__(self, outcome: Outcome) -> None:
        self.bar.advance(self.task)
        what = outcome.failure or "done"
        self.console.print(f"{outcome.folder.name}: {what}", highlight=False, markup=False)
