"""All benchmarks one after the other, written down: docs/benchmarks.md and docs/benchmarks.json.

    make bench                              under ten minutes on two quiet cores
    python benchmarks/report.py --only svq,processes    some of them; the others' figures are kept

The comparisons that the project promises something about run in full, the others with --quick; each
script by itself (`make bench BENCH=models`) gives all of its figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from common import Row

from weathersvq.atomic import atomic_path
from weathersvq.errors import InputError, near_misses

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
PAGE, FIGURES = DOCS / "benchmarks.md", DOCS / "benchmarks.json"
PACKAGES = ("weathersvq", "torch", "numpy", "xarray", "zarr", "dask", "lightning")

# Script -> arguments.
PLAN: dict[str, tuple[str, ...]] = {
    "svq": (),
    "forecasting": ("--only", "jobs", "--repeats", "5", "--inits", "40"),
    "processes": (),
    "growth": ("--pictures", str(DOCS / "pictures")),
    "codebook": ("--quick",),
    "regrid": ("--quick",),
    "loading": ("--quick",),
    "chunks": ("--quick",),
    "gpu": (),
}


@dataclass(frozen=True)
class Aim:
    """A promise about the ratio of a case.

    Attributes:
        benchmark, case: of the row.
        most: whether the ratio must not exceed the bound; else it must reach it.
        bound: of the ratio.
        means: for people.
        inverse: whether the promise is about the ratio turned round.
    """

    benchmark: str
    case: str
    most: bool
    bound: float
    means: str
    inverse: bool = False

    def found(self, rows: Sequence[Row]) -> float | None:
        for row in rows:
            if (row.benchmark, row.case) == (self.benchmark, self.case):
                return 1 / row.ratio if self.inverse else row.ratio
        return None

    def holds(self, ratio: float) -> bool:
        return ratio <= self.bound if self.most else ratio >= self.bound


def _beside_plain(task: str, bound: float) -> Aim:
    return Aim("svq", f"{task}: SVQ folded", True, bound, f"SimVP + SVQ / SimVP, {task}")


def _beside_literal(task: str, form: str, bound: float) -> Aim:
    means = f"SVQ as published / {form.replace('SVQ ', 'ours, ')}, {task}"
    return Aim("svq", f"{task}: {form}", False, bound, means, inverse=True)


AIMS = (
    _beside_plain("inference, batch 1", 1.05),
    _beside_plain("inference, batch 16", 1.05),
    _beside_plain("training step, batch 4", 1.05),
    _beside_plain("inference, batch 16, peak memory", 1.10),
    _beside_plain("training step, batch 4, peak memory", 1.10),
    _beside_literal("inference, batch 8", "SVQ folded", 2.0),
    _beside_literal("training step beside literal, batch 4", "SVQ folded", 2.4),
    _beside_literal("inference, batch 8", "SVQ compiled, bf16", 4.5),
    _beside_literal("training step beside literal, batch 4", "SVQ compiled, bf16", 3.0),
    Aim(
        "forecasting", "published, 40 inits: job", False, 0.8,
        "a streamed job's inits/s / those of the bare model, published size",
    ),
    Aim("processes", "2 processes", False, 1.7, "training by two processes / by one"),
)  # fmt: skip


def run(script: str, arguments: Sequence[str]) -> tuple[list[Row], float]:
    """The rows that a script prints, and its seconds; its table goes on to the screen."""
    start = time.monotonic()
    command = [sys.executable, str(HERE / f"{script}.py"), *arguments]
    rows = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                rows.append(Row(**json.loads(line)))
            else:
                print(line, end="", flush=True)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return rows, time.monotonic() - start


def machine() -> str:
    """Processor and cores, in words."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        name = models[0] if models else name
    return f"{name}, {os.cpu_count()} cores"


def page(content: dict[str, Any], rows: Sequence[Row]) -> str:
    """The Markdown page."""
    versions = ", ".join(f"{name} {number}" for name, number in content["versions"].items())
    lines = [
        "# Benchmarks",
        "",
        f"Written by `make bench` on {content['date']}: {content['machine']}, "
        f"{content['seconds'] / 60:.1f} minutes in all; {versions}. Times are medians; ratios are "
        "medians of quotients by round, the cases taking turns, so that what else the machine does "
        f"meets all alike. The same figures for programs: [{FIGURES.name}]({FIGURES.name}).",
        "",
        "## What is promised",
        "",
        "| ratio | wanted | found | |",
        "| --- | --- | --- | --- |",
    ]
    for aim in AIMS:
        ratio = aim.found(rows)
        wanted = f"{'at most' if aim.most else 'at least'} {aim.bound:g}"
        found = "not measured" if ratio is None else f"{ratio:.2f}"
        verdict = "" if ratio is None else "yes" if aim.holds(ratio) else "**no**"
        lines.append(f"| {aim.means} | {wanted} | {found} | {verdict} |")
    for script in PLAN:
        mine = [row for row in rows if row.benchmark == script]
        path = f"../benchmarks/{script}.py"
        lines += ["", f"## {script}", "", f"[{script}.py]({path}): {headline(script)}", ""]
        if not mine:
            lines.append("Not measured on this machine.")
            continue
        lines += ["| case | value | unit | ratio | against |", "| --- | ---: | --- | ---: | --- |"]
        lines += [
            f"| {row.case} | {row.value:.4g} | {row.unit} | {row.ratio:.2f} | {row.against} |"
            for row in mine
        ]
        if script == "growth":
            lines += ["", "Dotted: growth in proportion to the first point."]
            for picture in sorted((DOCS / "pictures").glob("growth_*.png")):
                axis = picture.stem.removeprefix("growth_")
                lines += ["", f"![growth with the {axis}](pictures/{picture.name})"]
    return "\n".join(lines) + "\n"


def headline(script: str) -> str:
    """The first line of a script's docstring."""
    first = (HERE / f"{script}.py").read_text(encoding="utf-8").splitlines()[0]
    return first.strip('"')


def main() -> None:
    parser = argparse.ArgumentParser(description="all benchmarks, written down")
    parser.add_argument("--only", help="names, separated by commas; other figures are kept")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else list(PLAN)
    for name in names:
        if name not in PLAN:
            raise InputError(f"no benchmark {name!r}{near_misses(name, PLAN)}")
    before: dict[str, Any] = {"rows": [], "took": {}}
    if options.only and FIGURES.is_file():
        before = json.loads(FIGURES.read_text(encoding="utf-8"))
    rows = [Row(**row) for row in before["rows"] if row["benchmark"] not in names]
    took = {name: value for name, value in before["took"].items() if name not in names}
    for name in names:
        print(f"== {name}", flush=True)
        found, took[name] = run(name, PLAN[name])
        rows += found
    content = {
        "date": date.today().isoformat(),
        "machine": machine(),
        "versions": {name: version(name) for name in PACKAGES},
        "seconds": sum(took.values()),
        "took": {name: round(took[name], 1) for name in PLAN if name in took},
        "rows": [vars(row) for row in rows],
    }
    for path, text in ((FIGURES, json.dumps(content, indent=1)), (PAGE, page(content, rows))):
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
