"""What the benchmarks of models time. Apart from `common`, so that those of data do not load torch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from weathersvq.models.forecaster import Forecaster


def make_task(model: Forecaster, training: bool, batch: int) -> Callable[[], None]:
    """A function that makes one forecast, or one step of training (MAE, Adam), of random windows."""
    shape = model.shape
    x = torch.randn(batch, *shape.inputs)
    if not training:
        model.eval()

        def forecast() -> None:
            with torch.no_grad():
                model(x)

        return forecast

    y = torch.randn(batch, shape.out_steps, shape.channels_out, shape.height, shape.width)
    optimizer = torch.optim.Adam(model.parameters())

    def train() -> None:
        optimizer.zero_grad()
        predicted, losses = model.forward_in_training(x, y, 0, functional.l1_loss)
        (functional.l1_loss(predicted, y) + sum(losses.values())).backward()
        optimizer.step()

    return train
