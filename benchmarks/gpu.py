"""What a GPU makes of the published SimVP + SVQ: samples/s, share of its own ceiling, what bounds it.

Training steps and forecasts of WeatherBench-S t2m (12.8 M parameters), random weights and windows
that are on the device, in fp32, TF32, bf16 and bf16 compiled. Beside each:

- operations a second (two a multiply-accumulate of a forward pass, a backward pass as two of them),
  as a share of what a large matrix product reaches here in the same precision;
- the least time that its bytes take (what every operation reads and writes, uncompiled, at the speed
  of a large copy here): where that exceeds the time of the operations, memory bounds it;
- an epoch of the paper's protocol, 52,560 windows.

    python benchmarks/gpu.py                     batches of 16 and 64
    python benchmarks/gpu.py --device cpu --batch 1 --quick     the same on a CPU, to see that it runs
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from common import Row, paired_ratio, print_rows
from tasks import make_task
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from weathersvq.device import choose_device, choose_matrix_products
from weathersvq.errors import InputError
from weathersvq.forecasting.inference import Precision
from weathersvq.models.forecaster import Shape
from weathersvq.models.quantizers.svq import SVQConfig
from weathersvq.models.simvp import SimVP, SimVPConfig

SHAPE = Shape(12, 12, 1, 1, 32, 64, longitude_wraps=True)
# Training windows of WeatherBench-S: 2010 to 2015, hourly.
WINDOWS = 52_560
PRODUCT, COPIED = 8192, 2**28


@dataclass(frozen=True)
class Mode:
    """How products are made."""

    name: str
    precision: Precision = "fp32"
    reduced: bool = False
    compiled: bool = False


MODES = (
    Mode("fp32"),
    Mode("TF32", reduced=True),
    Mode("bf16", "bf16"),
    Mode("bf16, compiled", "bf16", compiled=True),
)


class CountBytes(TorchDispatchMode):
    """Bytes that all operations read and write, each operation by itself; views are free."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        aliases = [each.alias_info for each in func._schema.returns]
        if not any(alias is not None and not alias.is_write for alias in aliases):
            tensors = [
                each for each in tree_leaves((args, kwargs, out)) if isinstance(each, Tensor)
            ]
            self.total += sum(each.nbytes for each in tensors)
        return out


@contextmanager
def products(device: torch.device, reduced: bool) -> Iterator[None]:
    choose_matrix_products(device, reduced)
    try:
        yield
    finally:
        choose_matrix_products(device, reduced=False)


def seconds_of(task: Callable[[], None], repeats: int) -> list[float]:
    """Times after two runs that are not counted; `task` waits for the device itself."""
    task()
    task()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        task()
        seconds.append(time.perf_counter() - start)
    return seconds


def ceiling(device: torch.device, mode: Mode, size: int) -> float:
    """Operations a second of a large matrix product."""
    kind = torch.bfloat16 if mode.precision == "bf16" else torch.float32
    a, b = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))

    def product() -> None:
        torch.mm(a, b)
        if device.type == "cuda":
            torch.cuda.synchronize()

    with products(device, mode.reduced):
        return 2 * size**3 / statistics.median(seconds_of(product, 5))


def bandwidth(device: torch.device, count: int) -> float:
    """Bytes a second that a large copy reads and writes."""
    source = torch.zeros(count, device=device)
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return 2 * source.nbytes / statistics.median(seconds_of(copy, 5))


def measure(
    device: torch.device,
    batch: int,
    repeats: int,
    modes: Sequence[Mode],
    tops: dict[str, float],
    bytes_a_second: float,
) -> Iterator[Row]:
    """Rows of one batch size; ratios are to fp32 where nothing else is said."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        SimVP(SimVPConfig(quantizer=SVQConfig()), SHAPE)(torch.zeros(1, *SHAPE.inputs))
    forward = counter.get_total_flops() * batch
    for training, task_name in ((True, "training"), (False, "forecasts")):
        first: list[float] = []
        for mode in modes:
            torch.manual_seed(0)
            model = SimVP(SimVPConfig(quantizer=SVQConfig()), SHAPE)
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            arguments: dict[str, Any] = {"precision": mode.precision, "device": device.type}
            with products(device, mode.reduced):
                task = make_task(model, training, batch, compiled=mode.compiled, **arguments)
                seconds = seconds_of(task, repeats)
            first = first or seconds
            median, case = statistics.median(seconds), f"{task_name}, batch {batch}, {mode.name}"
            speed = paired_ratio(first, seconds)
            yield Row("gpu", case, batch / median, "samples/s", "fp32", speed)
            if device.type == "cuda":
                peak = torch.cuda.max_memory_allocated(device) / 2**20
                yield Row("gpu", f"{case}, peak memory", peak, "MiB", "itself", 1.0)
            if training:
                yield Row(
                    "gpu", f"{case}, an epoch", WINDOWS / batch * median, "s", "fp32", 1 / speed
                )
            rate = (3 if training else 1) * forward / median
            share = rate / tops[mode.name]
            yield Row("gpu", f"{case}, operations", rate / 1e12, "TFLOP/s", "matrix product", share)
            if mode.compiled:
                continue  # its operations are no longer those of torch
            with CountBytes() as traffic:
                task()
            least = traffic.total / bytes_a_second
            yield Row(
                "gpu", f"{case}, least time of its bytes", least, "s", "the step", least / median
            )


def main() -> None:
    parser = argparse.ArgumentParser(description="SimVP + SVQ on a GPU")
    parser.add_argument(
        "--quick", action="store_true", help="one repeat, small ceilings, nothing compiled"
    )
    parser.add_argument("--device", default="cuda", help="cuda; cpu to see that it runs")
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 64], help="batch sizes")
    options = parser.parse_args()
    try:
        device = choose_device(options.device)
    except InputError as error:
        # `make bench` runs on machines of every kind.
        print(f"gpu: not measured: {error}")
        return
    modes = [mode for mode in MODES if not (options.quick and mode.compiled)]
    size, count = (1024, 2**22) if options.quick else (PRODUCT, COPIED)
    tops = {mode.name: ceiling(device, mode, size) for mode in modes}
    speed = bandwidth(device, count)
    rows = [
        Row("gpu", f"matrix product, {name}", top / 1e12, "TFLOP/s", "fp32", top / tops["fp32"])
        for name, top in tops.items()
    ]
    rows.append(Row("gpu", "copy", speed / 1e9, "GB/s", "itself", 1.0))
    for batch in options.batch:
        rows += measure(device, batch, 1 if options.quick else 10, modes, tops, speed)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print_rows(f"Published SimVP + SVQ, WeatherBench-S t2m, on {name}", rows)


if __name__ == "__main__":
    main()
