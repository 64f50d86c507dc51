"""Beside the flow: what the command line prints as tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from weathersvq.variables import Channel, variable

if TYPE_CHECKING:
    import xarray as xr

    from weathersvq.forecasting.export import Checked
    from weathersvq.forecasting.inference import Difference
    from weathersvq.metrics.tally import Tally
    from weathersvq.models.catalogue import Part, Row, SizeList
    from weathersvq.verification.results import Results

SIZE_COLUMNS = (
    "model",
    "title",
    "parameters [M]",
    "published",
    "difference",
    "GMAC",
    "published",
    "difference",
)
SIZE_HINT = (
    "[T_in x C x H x W -> T_out]; GMAC: 1e9 multiply-accumulates for the forecast of one window; "
    "difference: ours over the published, rounded figure"
)


def print_scores(console: Console, tally: Tally) -> None:
    """A table by lead for each variable: area mean and, where the truth is known, errors."""
    assert tally.first is not None
    start = tally.first.astype("datetime64[m]")
    when = str(start) if tally.inits == 1 else f"{tally.inits} inits from {start}"
    for name, level in tally.fields:
        entry = variable(name)
        at = "" if level is None else f" at {level} hPa"
        table = Table(
            title=f"{entry.long_name}{at} [{entry.units}], {when} UTC, area-weighted",
            title_justify="left",
        )
        rows = tally.rows(name, level)
        known = any(row.rmse is not None for row in rows)
        errors = ("RMSE", "bias", "MAE", "persistence RMSE") if known else ()
        for column in ("lead [h]", "area mean", *errors):
            table.add_column(column, justify="right")
        for row in rows:
            scores = (row.rmse, row.bias, row.mae, row.persistence_rmse) if known else ()
            table.add_row(f"{row.lead:g}", _score(row.mean), *map(_score, scores))
        console.print(table)


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _unit(units: str) -> str:
    """Behind a number; nothing for shares, which CF gives the unit 1."""
    return "" if units in ("", "1") else f" {units}"


def print_evaluation(console: Console, results: Results) -> None:
    """For each variable, by lead over the whole grid: RMSE of everything, that of the models with its
    interval, and their other scores."""
    from weathersvq.verification.sums import BASELINES

    plan = results.plan
    whole = plan.regions.names[0]
    for channel in plan.channels:
        unit = channel.variable.units
        scores = results.by_lead.sel(channel=str(channel), region=whole)
        ends = None
        if results.ends is not None:
            ends = [end.sel(channel=str(channel), region=whole) for end in results.ends]
        at = "" if channel.level is None else f" at {channel.level} hPa"
        table = Table(
            title=f"{channel.variable.long_name}{at} \\[{unit}], {whole}, "
            f"{results.tally.inits.size} initial times, area-weighted",
            title_justify="left",
        )
        table.add_column("lead \\[h]", justify="right")
        for name in plan.forecasts:
            table.add_column(f"{name} RMSE", justify="right", overflow="fold")
        others = [("bias", "bias", "+.2g")]
        if plan.climatology is not None:
            others.append(("acc", "ACC", ".3f"))
        for contestant in plan.contestants:
            for _, title, _ in others:
                table.add_column(f"{contestant.name} {title}", justify="right", overflow="fold")
        for place, lead in enumerate(results.plan.leads):
            row = scores.isel(lead_time=place)
            cells = [f"{lead.astype(int) / 3600:g}"]
            for name in plan.forecasts:
                one = row.sel(forecast=name, metric="rmse")
                text = f"{float(one):.4g}"
                if ends is not None and name not in BASELINES:
                    low, high = (
                        float(end.isel(lead_time=place).sel(forecast=name, metric="rmse"))
                        for end in ends
                    )
                    text += f"\n({low:.4g} to {high:.4g})"
                cells.append(text)
            for contestant in plan.contestants:
                one = row.sel(forecast=contestant.name)
                for metric, _, form in others:
                    cells.append(format(float(one.sel(metric=metric)), form))
            table.add_row(*cells)
        console.print(table)
    for note in (*plan.notes, *filter(None, [results.blocks.reason])):
        console.print(note, highlight=False, markup=False, soft_wrap=True)


def print_precision(
    console: Console, apart: Mapping[Channel, Difference], precision: str, inits: int
) -> None:
    """What a reduced precision costs, a line for each channel."""
    for channel, difference in apart.items():
        unit = _unit(channel.variable.units)
        console.print(
            f"{precision} against fp32, first {inits} inits: {channel} differs by at most "
            f"{difference.largest:.3g}{unit}, by {difference.mean:.3g}{unit} in the mean "
            "(all leads and cells, unweighted)",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip


def print_checks(console: Console, checks: Sequence[Checked], channels: Mapping[str, str]) -> None:
    """How near an exported model is to the original; units of each channel by its name."""
    if not checks:
        console.print(
            "not compared with the original: that needs onnxruntime, which is not installed; "
            "pip install 'weathersvq[export]'",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
    for check in checks:
        apart = ", ".join(
            f"{name} {value:.1g}{_unit(unit)}"
            for (name, unit), value in zip(channels.items(), check.apart, strict=True)
        )
        console.print(
            f"compared with the original on {check.windows}, largest differences: {apart}",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip


def print_frame_scores(
    console: Console, forecast: xr.Dataset, channels: Sequence[str], units: Sequence[str]
) -> None:
    """The error of a forecast of frames beside that of the last frame, a line for each channel."""
    for name, unit in zip(channels, units, strict=True):
        rmse = float((forecast[f"{name}_error"] ** 2).mean()) ** 0.5
        still = (forecast[f"{name}_truth"] - forecast[f"{name}_last_input"]) ** 2
        unchanged = float(still.mean()) ** 0.5
        console.print(
            f"{name} [{unit}]: RMSE {rmse:.4g} over {forecast.sizes['window']} windows and "
            f"{forecast.sizes['lead']} frames, unweighted; copying the last frame {unchanged:.4g}",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip


def print_rows(console: Console, rows: Sequence[tuple[str, str]]) -> None:
    """Names and values, such as what a store holds."""
    table = Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:+.1f} %"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _size_cells(row: Row) -> tuple[str, ...]:
    parameters, macs = row.differences
    return (
        row.name,
        row.title,
        f"{row.size.parameters / 1e6:.2f}",
        _figure(row.published.parameters_m),
        _percent(parameters),
        f"{row.size.macs / 1e9:.2f}",
        _figure(row.published.gmacs),
        _percent(macs),
    )


def _notes(sizes: SizeList) -> Iterator[str]:
    """Why ours is another size, where it is: one line for all models with the same reason."""
    reasons: dict[str, list[str]] = {}
    for row in sizes.rows:
        if row.published.note:
            reasons.setdefault(row.published.note, []).append(row.name)
    for reason, names in reasons.items():
        yield f"{', '.join(names)}: {reason}"


def print_sizes(console: Console, sizes: SizeList) -> None:
    """Models with their sizes beside the published ones."""
    table = Table(
        title=f"{sizes.title} [{sizes.setting}]".replace("[", r"\["), title_justify="left"
    )
    for index, column in enumerate(SIZE_COLUMNS):
        header = column.replace("[", r"\[")
        table.add_column(header, justify="left" if index < 2 else "right", no_wrap=index == 0)
    for row in sizes.rows:
        table.add_row(*_size_cells(row))
    console.print(table)
    for line in (SIZE_HINT, f"published: {sizes.source}", *_notes(sizes)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def sizes_json(lists: Sequence[SizeList]) -> str:
    """All rows as one list of objects."""
    return json.dumps([row.to_dict() for sizes in lists for row in sizes.rows], indent=1)


def sizes_markdown(lists: Sequence[SizeList]) -> str:
    """A document with a table for each list."""
    lines = [
        "# Models and their sizes",
        "",
        "Made by `weathersvq models --all --markdown > docs/models.md`. Figures: ours, counted by",
        "torch; beside them the published ones, rounded as they were printed. GMAC: 1e9",
        "multiply-accumulates for the forecast of one window. `weathersvq models NAME` tells the",
        "options of a model, translator or quantizer.",
    ]
    for sizes in lists:
        lines += ["", f"## {sizes.title}", "", f"Windows of {sizes.setting} (T_in x C x H x W -> "]
        lines[-1] += f"T_out). Published: {sizes.source}."
        lines += ["", f"| {' | '.join(SIZE_COLUMNS)} |", "|---|---|" + "--:|" * 6]
        lines += [f"| {' | '.join(_size_cells(row))} |" for row in sizes.rows]
        notes = [f"- {line}" for line in _notes(sizes)]
        lines += ["", *notes] if notes else []
    return "\n".join(lines)


def print_part(console: Console, part: Part) -> None:
    """A model, translator or quantizer with its options."""
    console.print(f"[bold]{part.kind}[/bold], {part.role}: {part.summary}", soft_wrap=True)
    console.print(f"paper: {part.reference}", markup=False, soft_wrap=True)
    table = Table(box=None)
    table.add_column("option", style="bold", no_wrap=True)
    table.add_column("default")
    table.add_column("meaning", overflow="fold")
    for option in part.options:
        table.add_row(option.name, option.default, option.description)
    if part.options:
        console.print(table)
