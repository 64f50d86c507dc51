"""What models cost and how they are set: counted, read from the lists, timed side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch

from weathersvq.checkpoint import load_checkpoint
from weathersvq.models.catalogue import PARTS, find_part
from weathersvq.models.forecaster import Forecaster
from weathersvq.models.published import load_benchmark
from weathersvq.models.size import measure
from weathersvq.reproduce.results import Finished, by_experiment, paper_rows, paper_value
from weathersvq.reproduce.views.base import Part, Shown, figure_text, of_first_seed, spread, table
from weathersvq.schema import Section, kind_of
from weathersvq.training.runs import MODEL_FILE

# The paper's data sets, and the lists that hold the settings published for them.
BENCHMARKS = {
    "WeatherBench-S": "weatherbench_s",
    "TaxiBJ": "taxibj",
    "Human3.6M": "human36m",
    "KTH": "kth",
    "KittiCaltech": "kitticaltech",
}
# Table 12's names of the models that the lists have.
TABLE_12 = {
    "ConvLSTM": "convlstm", "E3D-LSTM": "e3dlstm", "PredNet": "prednet", "PhyDNet": "phydnet",
    "MAU": "mau", "MIM": "mim", "PredRNN": "predrnn", "PredRNN++": "predrnnpp",
    "PredRNN.V2": "predrnnv2", "DMVFN": "dmvfn", "TAU": "tau", "SimVP (w/o VQ)": "simvp",
    "SimVP+SVQ": "simvp_svq",
}  # fmt: skip
# The list's own row where the paper's is of another model (docs/models.md).
EXCEPTIONS = {("TaxiBJ", "SimVP (w/o VQ)"): "simvp_convnext"}
ROUNDS = 7


def usage(shown: Shown) -> Part:
    """How much of the codebook is used, and what a quantizer costs."""
    assert shown.study is not None
    study, groups = shown.study, by_experiment(shown.finished)
    first = of_first_seed(shown.finished)
    speeds = dict(zip((each.key for each in first), _forecasts_per_second(first), strict=True))
    quickest = max(speeds.values())
    rows = []
    for key, members in groups.items():
        values = members[0].run.values
        config = members[0].run.experiment.model
        checkpoint = load_checkpoint(members[0].folder / MODEL_FILE)
        size = measure(config, checkpoint.shape)
        minutes = [_seconds_per_epoch(each) / 60 for each in members]
        rows.append([
            *key,
            _codebook(members, "perplexity"), _codebook(members, "perplexity_2"),
            _codebook(members, "perplexity_3"), _codebook(members, "usage", percent=True),
            f"{size.macs / 1e9:.3f}",
            f"{speeds[key] / quickest:.2f}" if key in speeds else "",
            spread(minutes, 2),
            *(figure_text(paper_value(study, values, name)) for name in
              ("Perplexity", "MACs (G)", "Inference FPS (V100)",
               "Training minutes per epoch (V100)")),
        ])  # fmt: skip
    header = [
        *study.axes, "perplexity", "at 2 deviations", "at 3 deviations", "codes used",
        "GMACs", "forecasts a second, beside the fastest", "minutes an epoch",
        "paper: perplexity", "paper: GMACs", "paper: FPS (V100)", "paper: minutes an epoch",
    ]  # fmt: skip
    note = (
        "Perplexity and use over the first batch of the test split; of SVQ, weights more than 2 and "
        "3 standard deviations from the mean count (the paper's A.4) and `perplexity` is the mean "
        f"of both. Forecasts of one window, interleaved, medians of {ROUNDS} rounds on this CPU; "
        f"the fastest made {quickest:.0f} a second. Training times are of a busy machine."
    )
    return Part([*table(header, rows), note, ""])


def _short(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def _codebook(members: Sequence[Finished], name: str, percent: bool = False) -> str:
    values = [each.result["codebook"][name] for each in members if name in each.result["codebook"]]
    if not values:
        return ""
    return f"{statistics.fmean(values):.1%}" if percent else spread(values)


def _seconds_per_epoch(run: Finished) -> float:
    return float(run.result["training_seconds"]) / run.run.experiment.train.epochs


@torch.inference_mode()
def _forecasts_per_second(runs: Sequence[Finished]) -> list[float]:
    """Of one window, all models in turn, so that a busy moment hits all alike."""
    models: list[Forecaster] = []
    for run in runs:
        models.append(load_checkpoint(run.folder / MODEL_FILE).build())
    seconds: list[list[float]] = [[] for _ in models]
    for _ in range(ROUNDS + 1):
        for model, taken in zip(models, seconds, strict=True):
            x = torch.zeros(1, *model.shape.inputs)
            start = time.perf_counter()
            model(x)
            taken.append(time.perf_counter() - start)
    # The first round warms up.
    return [1 / statistics.median(taken[1:]) for taken in seconds]


def settings(shown: Shown) -> Part:
    """The settings published for every model on every data set (the lists' own)."""
    part = Part()
    for dataset, name in BENCHMARKS.items():
        part.lines += [f"## {dataset}", ""]
        rows = []
        for key, entry in load_benchmark(name).models.items():
            options = _differing(entry.model)
            training = ", ".join(f"{k} {v}" for k, v in entry.train.items())
            rows.append([entry.title, f"`{key}`", ", ".join(options) or "defaults", training])
        part.lines += table(
            ["model", "name in configs", "options beside defaults", "training"], rows
        )
    return part


def _differing(section: Section, prefix: str = "") -> list[str]:
    """Options that are not at their defaults, `a.b value`."""
    found = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            if "kind" in type(value).model_fields and (kind := kind_of(type(value))) not in (
                "identity",
            ):
                found.append(f"{prefix}{name} {kind}")
            found += _differing(value, f"{prefix}{name}.")
        elif name != "kind" and value != field.default:
            found.append(f"{prefix}{name} {_text(value)}")
    return found


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def quantizers(shown: Shown) -> Part:
    """The defaults of every quantizer."""
    rows = []
    for each in PARTS["quantizer"]:
        part = find_part(kind_of(each.Config))
        options = ", ".join(f"{option.name} {option.default}" for option in part.options)
        rows.append([f"`{part.kind}`", part.summary.rstrip("."), options or "none", part.reference])
    return Part(table(["quantizer", "what it does", "settings", "paper"], rows))


def sizes(shown: Shown) -> Part:
    """Parameters and multiply-accumulates of one window, beside the paper's Table 12."""
    paper = {
        (row["dataset"], row["model"], row["metric"]): float(row["value"])
        for row in paper_rows()
        if row["table"] == "12"
    }
    part = Part()
    for dataset, name in BENCHMARKS.items():
        benchmark = load_benchmark(name)
        case = next(iter(benchmark.cases))
        rows = []
        for title, key in TABLE_12.items():
            theirs = [paper.get((dataset, title, m)) for m in ("Params (M)", "MACs (G)")]
            entry = benchmark.models.get(EXCEPTIONS.get((dataset, title), key))
            if entry is None or theirs == [None, None]:
                continue
            size = measure(entry.model, benchmark.shape(case))
            ours = (size.parameters / 1e6, size.macs / 1e9)
            note = entry.published[case].note if case in entry.published else ""
            rows.append([
                title,
                *(cell for own, other in zip(ours, theirs, strict=True)
                  for cell in (_short(own), figure_text(other),
                               "" if other is None else f"{own / other - 1:+.1%}")),
                note,
            ])  # fmt: skip
        header = ["model", "parameters [M]", "paper", "difference", "GMACs", "paper", "difference",
                  "why"]  # fmt: skip
        part.lines += [f"## {dataset}", "", *table(header, rows)]
    return part
