"""How large a model is and what it costs: parameters and multiply-accumulates."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from weathersvq.models import build_model
from weathersvq.models.forecaster import Forecaster, Shape
from weathersvq.models.layers import Depthwise
from weathersvq.schema import Section


@dataclass(frozen=True)
class Size:
    """Of one model for one shape of windows.

    Attributes:
        parameters: number of weights, frozen ones included.
        macs: multiply-accumulates of one window's forecast.
    """

    parameters: int
    macs: int


def measure(config: Section, shape: Shape) -> Size:
    """Build the model and count what a forecast multiplies, without multiplying where that can be.

    Multiply-accumulates are half of what torch's flop counter finds; it counts matrix products,
    convolutions and attention, as published figures do.

    Raises:
        InputError: sizes that cannot work with these options.
    """
    model = build_model(config, shape)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    try:
        macs = _count(model.to("meta"), shape)
    except (NotImplementedError, RuntimeError):
        # What it does depends on the numbers: they have to be there.
        macs = _count(build_model(config, shape), shape)
    return Size(parameters, macs)


@torch.no_grad()
def _count(model: Forecaster, shape: Shape) -> int:
    counter = FlopCounterMode(display=False)
    device = next(chain(model.parameters(), model.buffers()), torch.empty(0)).device
    for each in model.modules():
        if isinstance(each, Depthwise):
            each.plain = True
    # Fused attention is not counted; its plain form is.
    with counter, sdpa_kernel(SDPBackend.MATH):
        model.eval()(torch.zeros(1, *shape.inputs, device=device))
    return counter.get_total_flops() // 2
