"""How the cost of SVQ and of SVQ-raw (sparse coding by LISTA) grows with the codebook: Figure 2.

The quantizer alone, on the latent map of one WeatherBench-S frame (32 channels, 16 x 32 cells), N
from 2^6 to 2^12: a forward pass, and one with its backward pass.

    python benchmarks/codebook.py            all sizes
    python benchmarks/codebook.py --quick    N up to 2^9, one round each
    python benchmarks/codebook.py --picture docs/pictures/codebook_cost.png
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from common import Row, interleaved_seconds, paired_ratio, print_rows
from matplotlib.figure import Figure
from rich.progress import track
from torch.utils.flop_counter import FlopCounterMode

from weathersvq.atomic import atomic_path
from weathersvq.models.quantizers.base import Quantizer
from weathersvq.models.quantizers.lista import SVQRaw, SVQRawConfig
from weathersvq.models.quantizers.svq import SVQ, SVQConfig

CHANNELS = 32
LATENT = (1, 1, CHANNELS, 16, 32)
FORMS = ("SVQ", "SVQ-raw")


def make_quantizer(form: str, size: int) -> Quantizer:
    torch.manual_seed(0)
    if form == "SVQ":
        return SVQ(CHANNELS, SVQConfig(codebook_size=size))
    return SVQRaw(CHANNELS, SVQRawConfig(codebook_size=size))


def make_task(quantizer: Quantizer, training: bool) -> Callable[[], None]:
    z = torch.randn(LATENT, requires_grad=training)
    quantizer.train(training)

    def forward() -> None:
        with torch.no_grad():
            quantizer(z)

    def forward_and_backward() -> None:
        quantized = quantizer(z)
        (quantized.values.square().mean() + sum(quantized.losses.values())).backward()

    return forward_and_backward if training else forward


def macs(quantizer: Quantizer) -> float:
    """Multiply-accumulates of a forward pass, in 1e9."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        quantizer.eval()(torch.zeros(LATENT))
    return counter.get_total_flops() / 2e9


def measure(size: int, repeats: int) -> list[Row]:
    rows = []
    for task, training in (("forward", False), ("forward and backward", True)):
        cases = {form: make_task(make_quantizer(form, size), training) for form in FORMS}
        for case in cases.values():
            case()  # the first calls of short tasks are slower than all others
        seconds = interleaved_seconds(cases, repeats)
        for form in FORMS:
            value = statistics.median(seconds[form])
            ratio = paired_ratio(seconds[form], seconds["SVQ"])
            rows.append(Row("codebook", f"N = {size}: {form}, {task}", value, "s", "SVQ", ratio))
    counts = {form: macs(make_quantizer(form, size)) for form in FORMS}
    for form, count in counts.items():
        ratio = count / counts["SVQ"]
        rows.append(Row("codebook", f"N = {size}: {form}, forward", count, "GMAC", "SVQ", ratio))
    return rows


def draw(path: Path, sizes: list[int], rows: list[Row]) -> None:
    """Time and multiply-accumulates over N, both axes logarithmic."""
    figure = Figure(figsize=(9, 3.9), layout="constrained")
    for axes, unit, label in zip(
        figure.subplots(1, 2), ("s", "GMAC"), ("seconds", "GMAC"), strict=True
    ):
        for form, colour in zip(FORMS, ("tab:blue", "tab:orange"), strict=True):
            values = [
                row.value
                for size in sizes
                for row in rows
                if row.case == f"N = {size}: {form}, forward" and row.unit == unit
            ]
            axes.loglog(sizes, values, "o-", color=colour, label=form)
        axes.set_xlabel("codebook size N")
        axes.set_ylabel(f"{label}, one forward pass")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.legend()
    figure.suptitle("Quantizer alone, one latent map of 16 x 32 cells, 32 channels, CPU")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description="cost of SVQ and SVQ-raw by codebook size")
    parser.add_argument("--quick", action="store_true", help="N up to 512, one round each")
    parser.add_argument("--picture", type=Path, help="PNG to draw")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    sizes = [2**power for power in range(6, 10 if options.quick else 13)]
    rows = [row for n in track(sizes, "measuring") for row in measure(n, 1 if options.quick else 3)]
    print_rows(
        f"The quantizer alone on {options.threads} CPU threads, one latent map of "
        f"{CHANNELS} x 16 x 32: medians of interleaved runs, ratios by round",
        rows,
    )
    if options.picture:
        draw(options.picture, sizes, rows)


if __name__ == "__main__":
    main()
