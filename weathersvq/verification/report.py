"""Verification, the report: one page of scores, maps, cases, spectra and the model card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from weathersvq.data.axes import in_hours
from weathersvq.pages import Page, markdown_table
from weathersvq.variables import Channel
from weathersvq.verification import pictures
from weathersvq.verification.card import SIMULATED, how_made, model_cards
from weathersvq.verification.maps import case_maps, score_maps
from weathersvq.verification.pictures import TITLES, hours
from weathersvq.verification.results import Results
from weathersvq.verification.sums import BASELINES, METRICS, metric_units
from weathersvq.verification.words import (
    after_number,
    doubling,
    four_digits,
    in_brackets,
    interval,
    listed,
    minute,
    sentence,
    title_of,
)

# Colours of a picture: a byte a dot.
PALETTE = 256
# Leads in the tables of the page, of RMSE and of the other scores; all of them are in --out.
MOST_LEADS, FEW_LEADS = 12, 6


def write_report(results: Results, path: Path) -> None:
    """Write the report as `.html`, or as `.md` with its pictures beside it."""
    make_report(results, path.stem).write(path)


def make_report(results: Results, stem: str = "report") -> Page:
    """The report of an evaluation.

    Args:
        results: of it.
        stem: of the names of its pictures.
    """
    plan = results.plan
    title = f"Verification of {listed([each.name for each in plan.contestants])}"
    page = Page(title, [f"# {title}", ""], palette=PALETTE)
    report = _Report(page, results, stem)
    report.opening()
    report.in_short()
    report.comparisons()
    report.by_lead()
    report.by_region()
    report.by_season_and_hour()
    report.growth()
    report.spectra()
    report.maps()
    report.cases()
    page.lines += ["## Model card", "", *model_cards(plan)]
    page.lines += ["## How these figures were made", ""]
    for paragraph in how_made(results):
        page.lines += [paragraph, ""]
    return page


class _Report:
    """A page and what fills it, a section a method."""

    def __init__(self, page: Page, results: Results, stem: str) -> None:
        self.page, self.results, self.stem = page, results, stem
        self.plan = results.plan
        self.whole = self.plan.regions.names[0]
        self.last = in_hours(self.plan.leads[-1])
        self.models = [each.name for each in self.plan.contestants]

    def add(self, *lines: str) -> None:
        self.page.lines += [*lines, ""]

    def heading(self, channel: Channel) -> None:
        if len(self.plan.channels) > 1:
            self.add(f"### {title_of(channel)}")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table without the columns that are empty throughout."""
        kept = [place for place, _ in enumerate(header) if any(row[place] for row in rows)]
        lines = markdown_table([header[p] for p in kept], [[row[p] for p in kept] for row in rows])
        self.page.lines += [*lines, ""]

    def show(self, *shown: tuple[str, str, Figure]) -> None:
        """Pictures side by side: (what tells their files apart, caption, figure)."""
        line = []
        for what, caption, figure in shown:
            name = f"{self.stem}_{what}.png".replace("@", "").replace(" ", "_").replace("/", "_")
            self.page.pictures[name] = figure
            line.append(f"![{caption}]({name})")
        self.add(" ".join(line))

    # Sections

    def opening(self) -> None:
        plan, inits = self.plan, self.results.tally.inits
        title = plan.source_attributes.get("title") or plan.source
        self.add(
            f"{inits.size} initial times from {minute(inits[0])} to {minute(inits[-1])} UTC, leads "
            f"up to {self.last}; truth: {title}. Whole forecasts lie in {plan.period}. Scores are "
            "area-weighted means in physical units over the initial times, unless they say otherwise."
        )
        notes = [SIMULATED] if plan.simulated else []
        for note in (*notes, *plan.notes, *filter(None, [sentence(self.results.blocks.reason)])):
            self.add(f"> {note}")

    def in_short(self) -> None:
        self.add("## In short", "", f"At {self.last} over the {self.whole}:")
        # An interval for each score would not fit on a page.
        skill = "skill_persistence"
        rows = []
        for channel in self.plan.channels:
            for name in self.models:
                cells = [
                    self.value(channel, name, metric, -1, ends=metric in ("rmse", skill))
                    for metric in ("rmse", "skill_persistence", "skill_climatology", "acc", "bias")
                ]
                rows.append([title_of(channel), name, *cells])
        header = ("RMSE", "skill against persistence", "skill against climatology", "ACC", "bias")
        self.table(("variable", "forecast", *header), rows)

    def comparisons(self) -> None:
        for other in self.models[1:]:
            first = self.models[0]
            found = self.results.comparison(other)
            about = (
                f"RMSE of {other} minus that of {first} over the {self.whole}, on the same initial "
                "times: below zero means that it is better."
            )
            if self.results.ends is not None:
                about += (
                    " Interval: block bootstrap, both drawn together; p: test of Diebold and Mariano "
                    "(Hering and Genton's form) on daily means of squared errors, two-sided, for "
                    "each row by itself."
                )
            self.add(f"## Is {other} better than {first}?", "", about)
            rows = []
            for channel in self.plan.channels:
                for place in self.leads(3):
                    one = found.sel(channel=str(channel)).isel(lead_time=place)
                    ends = interval(float(one.low), float(one.high), signed=True)
                    p = float(one.p_value)
                    chance = "" if np.isnan(p) else "below 0.001" if p < 0.001 else f"{p:.3f}"
                    lead = f"{hours(found)[place]:g} h"
                    unit = after_number(channel.variable.units)
                    row = [title_of(channel), lead, f"{float(one.difference):+.3g}{unit}"]
                    rows.append(row if self.results.ends is None else [*row, ends, chance])
            more = () if self.results.ends is None else ("interval", "p")
            self.table(("variable", "lead", "difference of RMSE", *more), rows)

    def by_lead(self) -> None:
        bands = "" if self.results.ends is None else " Bands and brackets: intervals."
        self.add("## Scores by lead", "", f"Over the {self.whole}.{bands}")
        for channel in self.plan.channels:
            units = channel.variable.units
            self.heading(channel)
            skill = "acc" if "climatology" in self.plan.forecasts else "skill_persistence"
            self.show(
                (f"{channel}_rmse", f"RMSE of {title_of(channel)} by lead",
                 pictures.curves_by_lead(self.results, channel)),
                (f"{channel}_{skill}", f"{TITLES[skill]} of {title_of(channel)} by lead",
                 pictures.curves_by_lead(self.results, channel, skill)),
            )  # fmt: skip
            rows = [
                [f"{self.hour(place):g}"]
                + [self.value(channel, name, "rmse", place, "") for name in self.plan.forecasts]
                for place in self.leads(MOST_LEADS)
            ]
            self.table(
                ("lead [h]", *(f"{n} RMSE{in_brackets(units)}" for n in self.plan.forecasts)), rows
            )
            others = [metric for metric in METRICS if metric != "rmse"]
            header = [f"{TITLES[m]}{in_brackets(metric_units(m, units))}" for m in others]
            for name in self.models:
                rows = [
                    [f"{self.hour(place):g}"]
                    + [self.value(channel, name, m, place, "", ends=False) for m in others]
                    for place in self.leads(FEW_LEADS)
                ]
                self.table((f"{name}, lead [h]", *header), rows)

    def by_region(self) -> None:
        names = self.plan.regions.names
        if len(names) == 1:
            return
        self.add(f"## By region, at {self.last}")
        for channel in self.plan.channels:
            unit = in_brackets(channel.variable.units)
            rows = []
            for region in names:
                cells = [
                    self.value(channel, name, "rmse", -1, "", region=region)
                    for name in self.plan.forecasts
                ]
                cells += [
                    self.value(channel, name, metric, -1, "", region=region, ends=False)
                    for name in self.models
                    for metric in ("bias", "acc", "skill_persistence")
                ]
                rows.append([region.replace("_", " "), *cells])
            header = [f"{name} RMSE{unit}" for name in self.plan.forecasts]
            header += [
                f"{name} {TITLES[metric]}{unit if metric == 'bias' else ''}"
                for name in self.models
                for metric in ("bias", "acc", "skill_persistence")
            ]
            self.heading(channel)
            self.table(("region", *header), rows)

    def by_season_and_hour(self) -> None:
        inits = self.results.tally.inits
        by_season = self.results.scores(("lead", "season"))
        if by_season.sizes["season"] > 1:
            self.add(f"## By season of the valid time, RMSE at {self.last} over the {self.whole}")
            seasons = by_season["season"].values.tolist()
            self.table(
                ("variable", "forecast", *seasons),
                [
                    [f"{title_of(channel)}{in_brackets(channel.variable.units)}", name]
                    + [
                        four_digits(by_season.sel(channel=str(channel), forecast=name, metric="rmse",
                                              season=season).isel(lead_time=-1))
                        for season in seasons
                    ]
                    for channel in self.plan.channels
                    for name in self.plan.forecasts
                ],
            )  # fmt: skip
        if self.results.scores(("hour",)).sizes["hour"] > 1:
            self.add(
                "## By hour of the valid time", "", f"RMSE over all leads and the {self.whole}."
            )
            starts = np.unique(inits.astype("datetime64[s]").astype(np.int64) % 86400)
            if starts.size * self.plan.leads.size <= 24:
                self.add(
                    "The forecasts start at few hours of the day: an hour here goes with certain "
                    "leads, and the curve shows both."
                )
            self.show(
                *(
                    (f"{channel}_hour", f"RMSE of {title_of(channel)} by hour",
                     pictures.curves_by_hour(self.results, channel))
                    for channel in self.plan.channels
                )
            )  # fmt: skip

    def growth(self) -> None:
        if "climatology" not in self.plan.forecasts or self.plan.leads.size < 2:
            return
        name = self.models[0]
        found = self.results.error_growth().sel(forecast=name)
        self.add(
            "## How errors grow", "",
            f"RMSE of {name} over that of the climatology: at 1 nothing of the initial state is "
            "left. Doubling: the time in which the error would double at the rate between the first "
            "two and between the last two leads.",
        )  # fmt: skip
        self.show(("growth", f"Error growth of {name}", pictures.growth(self.results)))
        rows = []
        for channel in self.plan.channels:
            one = found.sel(channel=str(channel))
            ends = (f"{float(one['share'][place]):.2f}" for place in (0, -1))
            twice = (doubling(float(one["rate"][place])) for place in (1, -1))
            rows.append([title_of(channel), *ends, *twice])
        first, last = f"{self.hour(0):g} h", self.last
        self.table(
            ("variable", f"share at {first}", f"share at {last}", "doubling, first", "doubling, last"),
            rows,
        )  # fmt: skip

    def spectra(self) -> None:
        if self.results.spectra is None:
            return
        self.add(
            "## Does the forecast blur?", "",
            "Power by zonal wavenumber, a mean over rows weighted by area; the ratio to the truth "
            "falls below 1 where a forecast is too smooth.",
        )  # fmt: skip
        for channel in self.plan.channels:
            self.show(
                (f"{channel}_spectrum", f"Spectrum of {title_of(channel)}",
                 pictures.spectrum(self.results, channel)),
                (f"{channel}_ratio", f"Ratio of spectra of {title_of(channel)}",
                 pictures.spectrum_ratio(self.results, channel)),
            )  # fmt: skip

    def maps(self) -> None:
        self.add(
            "## Where the errors are", "",
            f"RMSE and bias (forecast minus truth) of each cell over all initial times, at "
            f"{self.hour(0):g} h and {self.last}"
            + (", and how much the RMSE of the others differs at the last lead." if
               len(self.models) > 1 else "."),
        )  # fmt: skip
        for channel in self.plan.channels:
            self.heading(channel)
            for row in score_maps(self.results, channel):
                self.show(*row)

    def cases(self) -> None:
        first = self.models[0]
        self.add(
            "## Best and worst cases", "",
            f"The initial times with the lowest and the highest RMSE of {first} at {self.last} over "
            f"the {self.whole}.",
        )  # fmt: skip
        rmse = self.results.rmse_by_init()
        for place, channel in enumerate(self.plan.channels):
            self.heading(channel)
            unit = after_number(channel.variable.units)
            for kind, cases in (
                ("Best", self.results.tally.best),
                ("Worst", self.results.tally.worst),
            ):
                case = cases[place]
                if case is None:
                    continue
                at = rmse.sel(init_time=case.init.astype("datetime64[ns]"), channel=str(channel))
                others = ", ".join(
                    f"{name} {four_digits(at.sel(forecast=name))}{unit}"
                    for name in self.plan.forecasts
                )
                self.add(f"{kind}, init {minute(case.init)} UTC; RMSE: {others}.")
                self.show(*case_maps(self.results, channel, case, kind.lower()))

    # Cells

    def leads(self, most: int) -> list[int]:
        """Positions of leads to show, the first and the last among them."""
        return np.unique(
            np.linspace(0, self.plan.leads.size - 1, most).round().astype(int)
        ).tolist()

    def hour(self, place: int) -> float:
        return float(self.plan.leads[place] / np.timedelta64(3600, "s"))

    def value(
        self, channel: Channel, name: str, metric: str, place: int, unit: str | None = None, *,
        region: str | None = None, ends: bool = True,
    ) -> str:  # fmt: skip
        """A score with its interval; `unit` None: with its unit."""

        def pick(scores: xr.DataArray) -> float:
            return float(
                scores.sel(
                    metric=metric, forecast=name, channel=str(channel), region=region or self.whole
                ).isel(lead_time=place)
            )

        number = pick(self.results.by_lead)
        if np.isnan(number):
            return ""
        if unit is None:
            unit = after_number(metric_units(metric, channel.variable.units))
        signed = metric == "bias" or metric.startswith("skill")
        text = f"{number:+.3g}" if signed else f"{number:.4g}"
        if ends and self.results.ends is not None and name not in BASELINES:
            low, high = (pick(end) for end in self.results.ends)
            text += f" {interval(low, high, signed=signed)}"
        return f"{text}{unit}"
