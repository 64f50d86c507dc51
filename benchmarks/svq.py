"""What SVQ costs: SimVP without it, with it folded, and with it as published, side by side.

WeatherBench-S: 12 frames of 32 x 64 in and out, gSTA, 10,000 codes; on the CPU, random weights.

- beside SimVP: SVQ folded, forecasts at batch 1 and 16, training steps at batch 4;
- beside the published form (`SVQ literal`, the whole weight matrix): folded, in bf16, and compiled
  in bf16; forecasts at batch 8, training steps at batch 4.

    python benchmarks/svq.py            all of it; five rounds or more
    python benchmarks/svq.py --quick    batch 1, three rounds, nothing compiled
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from common import (
    Row,
    interleaved_seconds,
    paired_ratio,
    peak_memory_mib,
    peak_memory_of,
    print_rows,
)
from tasks import make_task

from weathersvq.models.forecaster import Shape
from weathersvq.models.quantizers.svq import SVQConfig
from weathersvq.models.simvp import SimVP, SimVPConfig

Form = Literal["SimVP", "SVQ folded", "SVQ literal", "SVQ folded, bf16", "SVQ compiled, bf16"]
PLAIN: Form = "SimVP"
FOLDED: Form = "SVQ folded"
LITERAL: Form = "SVQ literal"
REDUCED: Form = "SVQ folded, bf16"
COMPILED: Form = "SVQ compiled, bf16"
INFERENCE, TRAINING = "inference", "training step"

SHAPE = Shape(12, 12, 1, 1, 32, 64, longitude_wraps=True)
LITERAL_FILE = Path(__file__).parents[1] / "tests" / "models" / "quantizers" / "literal_svq.py"


@dataclass(frozen=True)
class Comparison:
    """Forms that take turns.

    Attributes:
        task: INFERENCE or TRAINING, with what sets it apart behind it.
        batch: windows.
        forms: timed.
        against: that all ratios divide by.
        rounds: of which the medians are.
        memory: whether the peak memory of each is found, too.
    """

    task: str
    batch: int
    forms: tuple[Form, ...]
    against: Form
    rounds: int
    memory: bool = False


FULL = (
    Comparison(INFERENCE, 1, (PLAIN, FOLDED), PLAIN, 25),
    Comparison(INFERENCE, 16, (PLAIN, FOLDED), PLAIN, 5, memory=True),
    Comparison(INFERENCE, 8, (FOLDED, LITERAL, COMPILED), LITERAL, 5),
    Comparison(TRAINING, 4, (PLAIN, FOLDED), PLAIN, 5, memory=True),
    Comparison(f"{TRAINING} beside literal", 4, (FOLDED, LITERAL, REDUCED, COMPILED), LITERAL, 5),
)
QUICK = (
    Comparison(INFERENCE, 1, (PLAIN, FOLDED, LITERAL), PLAIN, 3, memory=True),
    Comparison(TRAINING, 1, (PLAIN, FOLDED, LITERAL), PLAIN, 3),
)


def make_model(form: Form) -> SimVP:
    """The same weights in each form (SimVP has none of the quantizer's)."""
    torch.manual_seed(0)
    config = SimVPConfig() if form == PLAIN else SimVPConfig(quantizer=SVQConfig())
    model = SimVP(config, SHAPE)
    if form == LITERAL:
        spec = importlib.util.spec_from_file_location("literal_svq", LITERAL_FILE)
        assert spec is not None
        assert spec.loader is not None
        literal = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(literal)
        weights = model.quantizer.state_dict()
        model.quantizer = literal.LiteralSVQ(model.config.hid_spatial, model.config.quantizer)
        model.quantizer.load_state_dict(weights)
    return model


def measure(comparison: Comparison, threads: int) -> list[Row]:
    """Times by turns, and peak memory of processes of their own."""
    task, batch = comparison.task, comparison.batch
    cases = {
        form: make_task(
            make_model(form),
            task.startswith(TRAINING),
            batch,
            precision="bf16" if form in (REDUCED, COMPILED) else "fp32",
            compiled=form == COMPILED,
        )
        for form in comparison.forms
    }
    seconds = interleaved_seconds(cases, comparison.rounds)
    against = comparison.against
    rows = []
    for form in comparison.forms:
        case = f"{task}, batch {batch}: {form}"
        ratio = paired_ratio(seconds[form], seconds[against])
        rows.append(Row("svq", case, statistics.median(seconds[form]), "s", against, ratio))
    if not comparison.memory:
        return rows
    memory = {
        form: peak_memory_of(
            __file__, "--memory", form, task, str(batch), "--threads", str(threads)
        )
        for form in comparison.forms
    }
    for form, value in memory.items():
        case = f"{task}, batch {batch}, peak memory: {form}"
        rows.append(Row("svq", case, value, "MiB", against, value / memory[against]))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="time and memory of SVQ beside SimVP")
    parser.add_argument("--quick", action="store_true", help="batch 1, three rounds")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--memory", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    if options.memory:
        form, task, batch = options.memory
        case = make_task(make_model(form), task.startswith(TRAINING), int(batch))
        for _ in range(2):
            case()
        print(peak_memory_mib())
        return

    rows = [
        row
        for comparison in (QUICK if options.quick else FULL)
        for row in measure(comparison, options.threads)
    ]
    print_rows(
        f"SVQ with 10,000 codes on {options.threads} CPU threads: medians of interleaved runs, "
        "ratios by round; memory of a process that does nothing else",
        rows,
    )


if __name__ == "__main__":
    main()
