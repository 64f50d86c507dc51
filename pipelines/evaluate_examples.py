"""Evaluate the bundled model and, on both real files, SimVP+SVQ against its twin: docs/evaluation.

    python pipelines/evaluate_examples.py [--jobs 2]

Trains what is not there yet (runs/examples, one seed of each; see train_examples.py) and writes the
reports that docs/evaluating.md names. Needs the files that configs/examples/*.yaml name, and the test
years of the sample climate (`python pipelines/simulate_sample.py --segment evaluation`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from running import run_script
from train_examples import EXAMPLES, example_runs
from variants import console, train_all

from weathersvq.verification.evaluation import evaluate
from weathersvq.verification.plan import Plan, make_plan
from weathersvq.verification.results import Results

PAGES = Path(__file__).parents[1] / "docs" / "evaluation"
# Named as the configs name it, from the project's root: the report says where its data came from.
SAMPLE = "runs/sample/surface_1h.zarr"
NAMES = {"svq": "SimVP+SVQ", "simvp": "SimVP"}


def main(
    jobs: Annotated[int, typer.Option(help="Runs side by side, one core each.")] = 2,
) -> None:
    """Train what is missing, evaluate on the test periods, write the reports."""
    runs = example_runs(seeds=1)
    train_all([run for run in runs.values() if not run.model.exists()], jobs)
    # Every hour of the day comes as often as the others; the year before tells what is normal.
    bundled = make_plan(
        ["bundled"], source=SAMPLE, period="2017-01-01/2018-12-31", every="13h",
        var="t2m,u10,tcc", climatology="2016-01-01/2016-12-31",
    )  # fmt: skip
    write(bundled, "bundled")
    for example in EXAMPLES:
        data = runs[example.name, "svq", 1].experiment().fields
        models = [f"{NAMES[kind]}={runs[example.name, kind, 1].model}" for kind in NAMES]
        plan = make_plan(models, source=str(data.source), period=data.test)
        titled = plan.source_attributes | {"title": example.title}
        notes = (*plan.notes, example.credit)
        write(replace(plan, source_attributes=titled, notes=notes), example.name)


def write(plan: Plan, name: str) -> None:
    page = PAGES / f"{name}.md"
    console.print(f"evaluating {', '.join(plan.forecasts)} on {plan.inits.size} inits ...")
    Results(plan, evaluate(plan)).report(page, overwrite=True)
    console.print(f"wrote {page}")


if __name__ == "__main__":
    run_script(main)
