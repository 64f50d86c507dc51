"""Verification, the model card: what a model is, of what it was made, and what it is not for."""

from __future__ import annotations

from collections.abc import Iterator

from weathersvq import __version__
from weathersvq.data.axes import in_hours
from weathersvq.pages import markdown_table
from weathersvq.verification.contestants import Trained
from weathersvq.verification.intervals import CONFIDENCE, DRAWS
from weathersvq.verification.plan import Plan
from weathersvq.verification.regions import TROPICS
from weathersvq.verification.results import Results

SIMULATED = (
    "The data are a **climate simulation under its own calendar, not past weather**: dates say the "
    "season and the hour; no score here can be compared with one on observed or reanalysed weather."
)


def model_cards(plan: Plan) -> Iterator[str]:
    """A table for each contestant, then the data and the limits, lines of Markdown."""
    for each in plan.contestants:
        yield from (f"### {each.name}", "")
        yield from markdown_table(("", ""), each.card())
        yield ""
    yield from ("### Data that it was verified against", "")
    attributes = plan.source_attributes
    rows = [("source", plan.source)]
    named = ("title", "institution", "source", "references", "comment", "license")
    rows += [(k if k != "source" else "made by", attributes[k]) for k in named if attributes.get(k)]
    rows += [
        ("period", str(plan.period)),
        ("grid", plan.grid.describe()),
        ("climatology", plan.climatology_period or "none"),
    ]
    yield from markdown_table(("", ""), rows)
    yield from ("", "### What it is not for", "")
    yield from (f"- {line}" for line in limits(plan))
    yield ""


def limits(plan: Plan) -> Iterator[str]:
    """What must not be concluded or done, a sentence or two each."""
    if plan.simulated:
        yield SIMULATED
    rows, columns = plan.grid.shape
    reach = "the globe" if plan.grid.is_global else "this region"
    yield (
        f"Fields of {rows} x {columns} cells over {reach}: nothing smaller than some cells is in "
        "them, no fronts, no local extremes, no weather at a place."
    )
    yield (
        "Statistical forecasts, one for each initial time: no physical law is kept, and no "
        "probability is given. Not for decisions about safety, health or property."
    )
    yield (
        f"Verified for leads up to {in_hours(plan.leads[-1])}, these variables, this grid and this "
        "period alone. Other data, another climate or another time step need a verification of "
        "their own."
    )
    for each in plan.contestants:
        if isinstance(each, Trained):
            trained = each.checkpoint.experiment.data
            longest = trained.targets[-1] * each.step
            if plan.leads[-1] > longest:
                yield (
                    f"{each.name} was trained for leads up to {in_hours(longest)}; beyond them its "
                    "output is its input, and errors feed on themselves."
                )


def how_made(results: Results) -> Iterator[str]:
    """The conventions behind the figures, a paragraph each."""
    plan, blocks = results.plan, results.blocks
    yield (
        "RMSE, MAE, bias (forecast minus truth), ACC and skill are weighted with the exact areas of "
        "the cells, in physical units; means over the initial times come before roots and ratios. "
        "MSE unweighted and MAE unweighted are plain means over cells, the convention of the paper "
        "(arXiv:2312.03406). Skill is 1 - MSE / MSE of the baseline: 1 is perfect, 0 no better. ACC "
        "is the correlation of the pooled anomalies from the climatology, not centred. Persistence: "
        "nothing changes after the initial time."
    )
    if plan.climatology is not None:
        yield f"Climatology: fitted to {plan.climatology_period}."
    yield (
        f"Tropics: rows whose centres lie between {TROPICS:g} S and {TROPICS:g} N; extratropics the "
        "rest. Land: cells of which at least a half lies inside Natural Earth's 1:110 million "
        "coastline. Season and hour are those of the valid time, UTC."
    )
    if blocks.counts is None:
        yield f"{blocks.reason[0].upper()}{blocks.reason[1:]}."
    else:
        yield (
            f"Intervals: {CONFIDENCE:.0%}, percentiles of {DRAWS} draws of a moving block bootstrap "
            f"over the initial times in blocks of {blocks.length} (seed {results.seed}); each holds "
            "for one score alone, and not for weather unlike that of this period, nor for another "
            "training of the same model."
        )
    yield f"Made by weathersvq {__version__}."
