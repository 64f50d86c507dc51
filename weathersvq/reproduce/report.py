"""A table's report: conditions, ours beside the paper's, pictures; as Markdown and as one HTML page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from weathersvq.pages import Page
from weathersvq.reproduce.results import CONFIDENCE, Finished
from weathersvq.reproduce.tables import Run, Scale, TableConfig
from weathersvq.reproduce.views import VIEWS, Part, Shown

READING = (
    "Errors are in physical units, means over test windows, leads and cells, not weighted by area "
    "(as the paper's); mean and standard deviation over seeds. Beside another: the relative "
    f"difference of the MSE, seed by seed, with its {CONFIDENCE:.0%} interval (Student; of each "
    "comparison by itself); the paper's from its single figures."
)
# Of all runs, wherever they were made.
REPEATABLE = (
    "The same config, seed, machine and number of threads give the same weights on a CPU, byte for "
    "byte (tests/training/test_train.py). On a GPU sums in atomic order (the backward passes of "
    "interpolation, indexing and of some convolutions) may differ in their last bits from run to "
    "run, and another CPU or another version of torch gives other last bits, too: there only the "
    "statistics over seeds repeat."
)


def write_report(
    name: str,
    table: TableConfig,
    scale: Scale,
    runs: Sequence[Run],
    finished: Sequence[Finished],
    tell: Callable[[str], None] = lambda _view: None,
) -> Page:
    """The report of a table.

    Args:
        name: of the table.
        table: its description.
        scale: of the runs.
        runs: that were asked for.
        finished: those with a result.
        tell: told of each view before it is made.
    """
    report = Page(f"{name}: {table.title}", [f"# {name}: {table.title}", ""])
    if table.question:
        report.lines += [table.question, ""]
    if not table.studies:
        _show(report, name, scale, Shown(table, None, scale, ()), "", tell)
        return report
    if "errors" in table.views:
        report.lines += [READING, ""]
    several = len({run.study for run in runs}) > 1
    for study in dict.fromkeys(run.study for run in runs):
        asked = [run for run in runs if run.study == study]
        done = [each for each in finished if each.run.study == study]
        if several:
            report.lines += [f"## {study}", ""]
        report.lines += conditions(scale, asked, done)
        if done:
            shown = Shown(table, table.studies[study], scale, done)
            _show(report, name, scale, shown, study if several else "", tell)
    if table.differs and "errors" not in table.views:
        report.lines += [f"What can't be compared: {table.differs}", ""]
    report.lines += [REPEATABLE, ""]
    return report


def _show(
    report: Page, name: str, scale: Scale, shown: Shown, study: str, tell: Callable[[str], None]
) -> None:
    for view in shown.table.views:
        tell(view)
        part: Part = VIEWS[view](shown)
        report.lines += part.lines
        for number, picture in enumerate(part.pictures, start=1):
            words = [name, scale, *study.lower().replace(",", "").split(), view, str(number)]
            file = f"{'_'.join(words)}.png"
            report.pictures[file] = picture.figure
            report.lines += [f"![{picture.caption}]({file})", "", f"*{picture.caption}*", ""]


def conditions(scale: Scale, asked: Sequence[Run], done: Sequence[Finished]) -> list[str]:
    """Under what the figures hold: nobody should have to guess."""
    waiting = len(asked) - len(done)
    lines = [f"- scale: {scale}; {len(done)} runs{f', {waiting} more not done' if waiting else ''}"]
    if not done:
        return [*lines, ""]
    first = done[0]
    config, result = first.run.experiment, first.result
    title = result["title"] or config.data.source
    leads = ", ".join(map(str, result["targets"]))
    versions = ", ".join(sorted({str(each.result["version"]) for each in done}))
    devices = ", ".join(sorted({str(each.result["device"]) for each in done}))
    epochs = " or ".join(map(str, sorted({each.run.experiment.train.epochs for each in done})))
    return [
        *lines,
        f"- data: {title}; {', '.join(result['channels'])}; {result['test_windows']} test windows; "
        f"{len(config.data.inputs)} inputs, targets at {leads} steps of {result['step']}",
        f"- training: at most {epochs} epochs, best epoch chosen on "
        f"{result['selection']}; seeds {', '.join(map(str, sorted({e.run.seed for e in done})))}; "
        f"weathersvq {versions} on {devices}",
        "",
    ]  # fmt: skip
