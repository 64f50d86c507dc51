"""Between checkpoint and forecast: a model as what computes forecasts, and nothing else.

Physical units go in and come out: normalisation, the feeding back of output and the way back are
one module, which can be compiled or exported whole. What only training needs is gone from it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from weathersvq.checkpoint import Checkpoint
from weathersvq.data.normalize import Normalization
from weathersvq.device import check_compiler, choose_device
from weathersvq.errors import InputError, near_misses
from weathersvq.models.forecaster import Forecaster, rollout
from weathersvq.models.layers import DropPath
from weathersvq.models.quantizers.base import Quantizer
from weathersvq.models.quantizers.lookup import Lookup

Precision = Literal["fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True)
class Difference:
    """How far two forms of a model are apart in one channel, in the channel's own units.

    Attributes:
        largest, mean: of the absolute differences over all windows, leads and cells (unweighted).
    """

    largest: float
    mean: float


class InferenceForm(nn.Module):
    """(B, T_in, C, H, W) in physical units -> (B, steps, C, H, W) in physical units.

    Args:
        model: in evaluation mode; it is taken over and changed.
        normalization: of its channels.
        steps: to forecast; the model's own T_out if None. Beyond them output is fed back.
        precision: `bf16` holds and multiplies the weights of convolutions and linear layers in
            bfloat16, on the CPU as on a GPU; sums over many terms and what is added up from layer
            to layer stay in float32.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: Forecaster,
        normalization: Normalization,
        steps: int | None = None,
        precision: Precision = "fp32",
    ) -> None:
        super().__init__()
        self.steps = steps or model.shape.out_steps
        self.precision = precision
        self.compiled = False
        self.network = _stripped(model)
        for name, values in zip(("mean", "std"), normalization.scale(), strict=True):
            self.register_buffer(name, torch.from_numpy(values))
        if precision == "bf16":
            _reduce_weights(self.network)
        self.requires_grad_(False).eval()

    def forward(self, fields: Tensor) -> Tensor:
        """(B, T_in, C, H, W) -> (B, steps, C, H, W), physical units, in the input's precision."""
        with self._reduced():
            y = rollout(self.network, (fields - self.mean) / self.std, self.steps)
        return y.to(fields.dtype) * self.std + self.mean

    def predict(self, fields: NDArray[np.float32], batch_size: int = 16) -> NDArray[np.float32]:
        """As `forward` for any number of windows, `batch_size` at a time, on the form's device.

        Args:
            fields: (n, T_in, C, H, W), physical units.
            batch_size: windows run together.

        Returns:
            (n, steps, C, H, W), physical units.
        """
        device = self.mean.device
        out: NDArray[np.float32] | None = None
        for start in range(0, len(fields), batch_size):
            part = fields[start : start + batch_size]
            count = len(part)
            if self.compiled and count < batch_size < len(fields):
                # Filled up: a batch of another size would be compiled anew.
                part = np.concatenate([part, np.repeat(part[-1:], batch_size - count, axis=0)])
            x = torch.from_numpy(np.ascontiguousarray(part))
            if device.type == "cuda":
                x = x.pin_memory().to(device, non_blocking=True)
            with torch.inference_mode():
                y = self(x)[:count]
            if out is None:
                out = np.empty((len(fields), *y.shape[1:]), np.float32)
            out[start : start + count] = y.cpu().numpy()
        assert out is not None
        return out

    def compile_here(self) -> None:
        """Let torch compile the form for this machine at its first batch of each size.

        Raises:
            InputError: there is no compiler.
        """
        device = self.mean.device
        check_compiler(device, "--compile")
        # On a GPU the whole form is launched as one CUDA graph.
        self.compile(dynamic=False, mode="reduce-overhead" if device.type == "cuda" else None)
        self.compiled = True

    def _reduced(self) -> AbstractContextManager[object]:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.mean.device.type, dtype=torch.bfloat16)


def parse_precision(text: str) -> Precision:
    """A precision by its name.

    Raises:
        InputError: there is no such.
    """
    for precision in PRECISIONS:
        if text == precision:
            return precision
    raise InputError(
        f"unknown precision {text!r}{near_misses(text, PRECISIONS)}; "
        f"expected {' or '.join(PRECISIONS)}"
    )


def inference_form(
    checkpoint: Checkpoint,
    steps: int | None = None,
    *,
    precision: Precision = "fp32",
    compiled: bool = False,
    device: str = "auto",
) -> InferenceForm:
    """A checkpoint as an inference form, on its device and in the memory order that is fastest there.

    Args:
        checkpoint: with weights.
        steps: to forecast; as many as trained if None.
        precision: `fp32`, or `bf16` (see `InferenceForm`).
        compiled: whether torch compiles it; the first batch then takes about a minute.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        InputError: weights that do not fit, an unknown device, no compiler.
    """
    target = choose_device(device)
    form = InferenceForm(checkpoint.build(), checkpoint.normalization, steps, precision).to(target)
    if target.type == "cpu":
        # As activations are there, see `models.layers.fast_layout`: no convolution reorders weights.
        form.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if compiled:
        form.compile_here()
    return form


def differences(
    form: InferenceForm, reference: InferenceForm, fields: NDArray[np.float32]
) -> list[Difference]:
    """How far the forecasts of two forms of one model are apart, for each channel.

    Args:
        form, reference: of the same model and number of steps.
        fields: (n, T_in, C, H, W), physical units.
    """
    apart = np.abs(form.predict(fields) - reference.predict(fields))
    return [
        Difference(float(each.max()), float(each.mean(dtype=np.float64)))
        for each in np.moveaxis(apart, 2, 0)
    ]


def _reduce_weights(module: nn.Module) -> None:
    """Weights that autocast would turn into bfloat16 at every call, turned once."""
    for child in module.children():
        if isinstance(child, (nn.Conv2d, nn.Linear)):
            child.to(torch.bfloat16)
        elif not isinstance(child, Lookup):  # they are computed in full precision
            _reduce_weights(child)


def _stripped(model: Forecaster) -> Forecaster:
    """Without what only training needs: dropped paths and units, and unfolded quantizers."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Quantizer):
                setattr(parent, name, child.for_inference())
            elif isinstance(child, (nn.Dropout, DropPath)):
                setattr(parent, name, nn.Identity())
    return model
