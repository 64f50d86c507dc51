"""What SVQ costs: SimVP without it, with it folded, and with it as published, side by side.

WeatherBench-S: 12 frames of 32 x 64 in and out, gSTA, 10,000 codes; on the CPU, random weights.

    python benchmarks/svq.py            inference at batch 1 and 4, training step at batch 4
    python benchmarks/svq.py --quick    batch 1 and fewer repeats
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
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

Form = Literal["SimVP", "SVQ folded", "SVQ literal"]
FORMS: tuple[Form, ...] = ("SimVP", "SVQ folded", "SVQ literal")
INFERENCE, TRAINING = "inference", "training step"

SHAPE = Shape(12, 12, 1, 1, 32, 64, longitude_wraps=True)
LITERAL = Path(__file__).parents[1] / "tests" / "models" / "quantizers" / "literal_svq.py"


def make_model(form: Form) -> SimVP:
    """The same weights in each form (SimVP has none of the quantizer's)."""
    torch.manual_seed(0)
    config = SimVPConfig() if form == "SimVP" else SimVPConfig(quantizer=SVQConfig())
    model = SimVP(config, SHAPE)
    if form == "SVQ literal":
        spec = importlib.util.spec_from_file_location("literal_svq", LITERAL)
        assert spec is not None
        assert spec.loader is not None
        literal = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(literal)
        weights = model.quantizer.state_dict()
        model.quantizer = literal.LiteralSVQ(model.config.hid_spatial, model.config.quantizer)
        model.quantizer.load_state_dict(weights)
    return model


def measure(task: str, batch: int, repeats: int, threads: int) -> list[Row]:
    """Time and peak memory of the three forms at one task."""
    seconds = interleaved_seconds(
        {form: make_task(make_model(form), task == TRAINING, batch) for form in FORMS}, repeats
    )
    memory = {
        form: peak_memory_of(
            __file__, "--memory", form, task, str(batch), "--threads", str(threads)
        )
        for form in FORMS
    }
    rows = []
    for form in FORMS:
        case = f"{task}, batch {batch}: {form}"
        time_ratio = paired_ratio(seconds[form], seconds["SimVP"])
        rows.append(Row("svq", case, statistics.median(seconds[form]), "s", "SimVP", time_ratio))
        memory_ratio = memory[form] / memory["SimVP"]
        rows.append(Row("svq", f"{case}, peak memory", memory[form], "MiB", "SimVP", memory_ratio))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="time and memory of SVQ beside SimVP")
    parser.add_argument("--quick", action="store_true", help="batch 1, three repeats")
    parser.add_argument("--repeats", type=int, help="rounds; 9 for inference and 5 for training")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--memory", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    if options.memory:
        form, task, batch = options.memory
        case = make_task(make_model(form), task == TRAINING, int(batch))
        for _ in range(2):
            case()
        print(peak_memory_mib())
        return

    plan = [(INFERENCE, 1, 3), (TRAINING, 1, 3)]
    if not options.quick:
        plan = [(INFERENCE, 1, 9), (INFERENCE, 4, 9), (TRAINING, 4, 5)]
    rows = [
        row
        for task, batch, repeats in plan
        for row in measure(task, batch, options.repeats or repeats, options.threads)
    ]
    print_rows(
        f"SVQ with 10,000 codes on {options.threads} CPU threads: medians of interleaved runs, "
        "ratios by round; memory of a process that does nothing else",
        rows,
    )


if __name__ == "__main__":
    main()
