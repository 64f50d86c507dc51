"""What the benchmarks of models time. Apart from `common`, so that those of data do not load torch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn import functional

from weathersvq.data.normalize import Normalization
from weathersvq.forecasting.inference import InferenceForm, Precision
from weathersvq.models.forecaster import Forecaster


def make_task(
    model: Forecaster,
    training: bool,
    batch: int,
    *,
    precision: Precision = "fp32",
    compiled: bool = False,
    device: str = "cpu",
) -> Callable[[], None]:
    """A function that makes one forecast, or one step of training (MAE, Adam), of random windows.

    Args:
        model: as it is for training; forecasts in another precision or compiled are those of its
            inference form.
        training: which of both.
        batch: windows.
        precision: of products.
        compiled: by torch, at the first call.
        device: `cpu` or `cuda`; on a GPU the function ends when the GPU has.
    """
    here, shape = torch.device(device), model.shape
    x = torch.randn(batch, *shape.inputs, device=here)
    model = model.to(here)

    def wait() -> None:
        if here.type == "cuda":
            torch.cuda.synchronize()

    if not training:
        model.eval()
        network: torch.nn.Module = model
        if compiled or precision != "fp32":
            names = tuple(f"channel {number}" for number in range(shape.channels_in))
            scale = Normalization(names, (0.0,) * len(names), (1.0,) * len(names))
            form = InferenceForm(model, scale, precision=precision).to(here)
            if compiled:
                form.compile_here()
            network = form

        def forecast() -> None:
            with torch.no_grad():
                network(x)
            wait()

        return forecast

    y = torch.randn(batch, shape.out_steps, shape.channels_out, *shape.inputs[2:], device=here)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    if compiled:
        # Brings lightning, which takes longer to load than many a benchmark takes to run.
        from weathersvq.training.train import compile_network

        compile_network(model, batch, here)

    def reduced() -> AbstractContextManager[object]:
        if precision == "fp32":
            return nullcontext()
        return torch.autocast(here.type, dtype=torch.bfloat16)

    def train() -> None:
        optimizer.zero_grad()
        with reduced():
            predicted, losses = model.forward_in_training(x, y, 0, functional.l1_loss)
            loss = functional.l1_loss(predicted, y) + sum(losses.values())
        loss.backward()
        optimizer.step()
        wait()

    return train
