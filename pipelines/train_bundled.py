"""Train the bundled model and its twin without SVQ on the sample climate, and report both.

    python pipelines/simulate_sample.py     # first: the data
    python pipelines/train_bundled.py [--jobs 2] [--report-only]

Writes runs/bundled/*, weathersvq/bundled/joint_svq.safetensors, docs/bundled_model.md and
docs/pictures/bundled_model.png. Stopped at any moment, the same command goes on.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
import xarray as xr
from matplotlib.figure import Figure
from running import run_script
from scores_report import LABELS, draw_by_lead, lead_rows, markdown_table
from variants import Variant, console, train_all

from weathersvq.atomic import atomic_path
from weathersvq.bundled import bundled_model
from weathersvq.checkpoint import Checkpoint, load_checkpoint
from weathersvq.data.windows import parse_step
from weathersvq.variables import variable
from weathersvq.verification.evaluation import evaluate
from weathersvq.verification.plan import make_plan
from weathersvq.verification.results import Results

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "sample" / "joint_svq.yaml"
RUNS = ROOT / "runs" / "bundled"


def main(
    jobs: Annotated[int, typer.Option(help="Runs side by side, one core each.")] = 2,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Evaluate and report.")
    ] = False,
) -> None:
    """Train, evaluate on the test years, bundle, report."""
    variants = {
        "svq": Variant(CONFIG, (), RUNS / "joint_svq"),
        "simvp": Variant(
            CONFIG, ("name=joint_simvp", "model.quantizer={kind: identity}"), RUNS / "joint_simvp"
        ),
    }
    if not report_only:
        train_all(list(variants.values()), jobs)
    models = {name: load_checkpoint(variant.model) for name, variant in variants.items()}
    scores, inits = evaluated(models["svq"], {name: v.model for name, v in variants.items()})
    bundle(models["svq"], scores, inits)
    picture = ROOT / "docs" / "pictures" / "bundled_model.png"
    draw(scores, picture)
    page = ROOT / "docs" / "bundled_model.md"
    with atomic_path(page) as temporary:
        temporary.write_text(report(models, scores, inits), encoding="utf-8")
    console.print(f"wrote {bundled_model()}, {page} and {picture}")


def evaluated(model: Checkpoint, paths: dict[str, Path]) -> tuple[xr.Dataset, int]:
    """Scores of models of one config on its test years, beside the baselines, and initial times.

    Args:
        model: one of them, for its config.
        paths: of all by name.

    Returns:
        Each variable with dims (metric, forecast, lead_time); how many initial times.
    """
    data = model.experiment.fields
    every = (data.evaluate_every * parse_step(data.step)).astype(int)
    console.print("fitting the climatology of the training years ...")
    plan = make_plan(
        [f"{name}={path}" for name, path in paths.items()],
        source=str(data.source),
        period=data.test,
        every=f"{every}s",
        regions=["globe"],
    )
    console.print(f"evaluating {', '.join(paths)} on {plan.inits.size} inits ...")
    scores = Results(plan, evaluate(plan)).scores(("lead",))
    return scores.to_dataset("channel"), plan.inits.size


def bundle(model: Checkpoint, scores: xr.Dataset, inits: int) -> None:
    """Put the model into the package, with its scores on the test years."""
    by_lead = {
        f"test_rmse_{name}_{variable(str(name)).units.replace(' ', '_')}_by_lead": [
            round(float(v), 5) for v in scores[name].sel(forecast="svq", metric="rmse").values
        ]
        for name in scores.data_vars
    }
    test = {"test_period": model.experiment.fields.test, "test_inits": inits}
    replace(model, scores={**model.scores, **test, **by_lead}).save(bundled_model())


def draw(scores: xr.Dataset, path: Path) -> None:
    """RMSE by lead of every variable, all four forecasts."""
    names = [str(name) for name in scores.data_vars]
    figure = Figure(figsize=(3.1 * len(names), 3.5), layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for axis, name in zip(axes, names, strict=True):
        draw_by_lead(axis, scores[name].sel(metric="rmse"))
        axis.set_title(variable(name).long_name)
        axis.set_ylabel(f"RMSE [{variable(name).units}], area-weighted")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)


def report(models: dict[str, Checkpoint], scores: xr.Dataset, inits: int) -> str:
    """The page docs/bundled_model.md."""
    data = models["svq"].experiment.fields
    config = models["svq"].experiment
    count = {
        name: sum(p.numel() for p in model.build().parameters()) for name, model in models.items()
    }
    epochs = {name: model.scores["best_epoch"] for name, model in models.items()}
    lines = [
        "# The bundled model",
        "",
        "Made by `python pipelines/train_bundled.py`; every figure on this page comes from that run.",
        "",
        "**The data are a climate simulation** (SPEEDY physics, `pipelines/simulate_sample.py`) under "
        "its own calendar, not past weather. Sea-surface and deep-soil temperatures repeat each year, "
        "which makes temperature easier to predict than the real one: these scores are not "
        "comparable with published ones.",
        "",
        f"- **Model**: {config.description}. Parameters: {count['svq']:,}; its twin without SVQ "
        f"{count['simvp']:,}. Same data, budget, order of windows and seed ({config.seed}).",
        f"- **Training**: {data.train}, one window in {data.train_every} "
        f"({models['svq'].training_data['windows']:,} windows), {config.train.epochs} epochs, "
        f"{config.train.loss.upper()} of normalised fields, on one CPU core each.",
        f"- **Selection**: best epoch on {data.validation} ({epochs['svq']} with SVQ, "
        f"{epochs['simvp']} without).",
        f"- **Test**: {data.test}, one window in {data.evaluate_every}: {inits} initial times at all "
        "hours of the day.",
        "- **Baselines**: persistence (the last input frame) and a climatology by day of year and "
        "hour (three annual harmonics at each hour of the day), fitted on the training years.",
        "- **Weighting**: RMSE and MAE by exact cell areas; the paper's MSE and MAE are plain means "
        "over grid cells.",
        "",
        "![RMSE by lead](pictures/bundled_model.png)",
        "",
        "## Mean over leads 1 to 12 h",
        "",
    ]
    rows = []
    for name in map(str, scores.data_vars):
        for kind in map(str, scores["forecast"].values):
            one = scores[name].sel(forecast=kind)
            # The root of the pooled mean, not the mean of roots.
            rmse = float((one.sel(metric="rmse") ** 2).mean() ** 0.5)
            acc = float(one.sel(metric="acc").mean(skipna=False))
            rows.append(
                [
                    f"{name} [{variable(name).units}]",
                    LABELS[kind],
                    f"{float(one.sel(metric='mse_unweighted').mean()):.4g}",
                    f"{float(one.sel(metric='mae_unweighted').mean()):.4g}",
                    f"{rmse:.4g}",
                    "" if acc != acc else f"{acc:.3f}",
                ]
            )
    header = ["variable", "forecast", "MSE (unweighted)", "MAE (unweighted)", "RMSE (area)", "ACC"]
    lines += markdown_table(header, rows)
    for name in map(str, scores.data_vars):
        units = variable(name).units
        lines += ["", f"## {variable(name).long_name} [{units}] by lead: RMSE (area-weighted)", ""]
        lines += lead_rows(scores[name].sel(metric="rmse"))
    lines += ["", "## What this shows", "", *findings(scores), ""]
    return "\n".join(lines)


def findings(scores: xr.Dataset) -> list[str]:
    """What holds, from the figures, variable by variable."""
    lines = []
    for name in map(str, scores.data_vars):
        mse = scores[name].sel(metric="mse_unweighted")
        svq, twin = mse.sel(forecast="svq"), mse.sel(forecast="simvp")
        leads = svq.sizes["lead_time"]
        beats = int((svq < mse.sel(forecast="persistence")).sum())
        mean = {
            kind: float(mse.sel(forecast=kind).mean()) for kind in map(str, mse["forecast"].values)
        }
        change = 100 * (mean["svq"] / mean["simvp"] - 1)
        lines.append(
            f"- **{name}**: SimVP+SVQ beats persistence at {beats} of {leads} leads and has "
            f"{mean['svq'] / mean['climatology']:.2f} of climatology's MSE in the mean; against its "
            f"twin without SVQ its MSE is {abs(change):.1f}% {'higher' if change > 0 else 'lower'} "
            f"(lower at {int((svq < twin).sum())} of {leads} leads). One seed: such a difference "
            "alone proves nothing."
        )
    return lines


if __name__ == "__main__":
    run_script(main)
