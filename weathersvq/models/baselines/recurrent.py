"""What the recurrent baselines have in common: frame after frame, the output fed back as input.

A model reads the T_in known frames one by one and gives, at each, a forecast of the frame after it;
from then on it reads its own forecasts. In training it may read the truth instead (scheduled
sampling, arXiv 1506.03099), less and less often, or the other way round (arXiv 2103.09504).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from weathersvq.models.border import Border
from weathersvq.models.forecaster import Criterion, Forecaster, Losses, Shape, average
from weathersvq.schema import OddSize, Section

# What a model carries from frame to frame: its own affair.
State = Any


class Sampling(Section):
    """How often training reads true frames, by optimiser step."""

    mode: Literal["scheduled", "reverse", "never"] = Field(
        "scheduled",
        description="scheduled: known inputs, then true outputs less and less often; reverse: that "
        "and, among the known inputs, own forecasts less and less often; never: as in forecasting",
    )
    per: Literal["frame", "window"] = Field(
        "frame", description="whether truth or forecast is drawn for each frame or once a window"
    )
    start: float = Field(1.0, ge=0, le=1, description="scheduled: chance of true outputs at step 0")
    decrease: float = Field(2e-5, ge=0, description="scheduled: what it loses a step")
    stop: int = Field(50_000, ge=0, description="scheduled: step from which it is 0")
    reverse_start: int = Field(
        25_000, ge=0, description="reverse: step to which both chances stay at one half"
    )
    reverse_stop: int = Field(50_000, ge=1, description="reverse: step from which they are 1 and 0")
    reverse_scale: float = Field(
        5_000.0, gt=0, description="reverse: steps in which the chance of forecasts as inputs "
        "falls to 1/e"
    )  # fmt: skip

    @model_validator(mode="after")
    def _in_order(self) -> Sampling:
        if self.reverse_start >= self.reverse_stop:
            raise ValueError(
                f"reverse_start ({self.reverse_start}) must be below reverse_stop "
                f"({self.reverse_stop})"
            )
        return self

    def chances(self, step: int) -> tuple[float, float]:
        """Chances of reading the truth, among the known inputs and among the outputs."""
        if self.mode == "never":
            return 1.0, 0.0
        if self.mode == "scheduled":
            falling = self.start - self.decrease * (step + 1)
            return 1.0, max(falling, 0.0) if step < self.stop else 0.0
        beyond = step - self.reverse_start
        if beyond < 0:
            return 0.5, 0.5
        if step >= self.reverse_stop:
            return 1.0, 0.0
        return (
            1 - 0.5 * math.exp(-beyond / self.reverse_scale),
            0.5 - 0.5 * beyond / (self.reverse_stop - self.reverse_start),
        )

    def draw(self, step: int, batch: int, inputs: int, outputs: int) -> Tensor:
        """Where the truth is read.

        Args:
            step: optimiser steps so far.
            batch: B.
            inputs: known frames in question.
            outputs: frames to forecast in question.

        Returns:
            (B, inputs + outputs) booleans, drawn from torch's global generator.
        """
        known, unknown = self.chances(step)
        chance = torch.cat([torch.full((inputs,), known), torch.full((outputs,), unknown)])
        return torch.rand(batch, 1 if self.per == "window" else len(chance)) < chance


class RecurrentConfig(Section):
    """Options of all recurrent models; each adds its `kind`."""

    hidden: int = Field(128, ge=1, description="channels of every layer's state")
    depth: int = Field(4, ge=1, description="layers of cells")
    kernel: OddSize = Field(5, description="size of the cells' convolutions, odd")
    patch: int = Field(
        2, ge=1, description="cells along the side of the square patches that a frame is cut into"
    )
    layer_norm: bool = Field(
        False, description="normalise each convolution's output over channels and map"
    )
    sampling: Sampling = Field(Sampling(), description="true frames as inputs in training")


def convolve(
    channels_in: int,
    channels_out: int,
    kernel: int,
    normalized: tuple[int, int] | None = None,
) -> nn.Module:
    """A convolution that keeps the map, without bias, as the cells' gates are made of.

    Args:
        channels_in: C.
        channels_out: C'.
        kernel: odd size.
        normalized: (h, w) of the map where its output is normalised over (C', h, w).
    """
    convolution = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=False)
    if normalized is None:
        return convolution
    return nn.Sequential(convolution, nn.LayerNorm([channels_out, *normalized]))


class Recurrent(Forecaster):
    """A model that goes from frame to frame.

    A subclass makes its layers for frames of `self.frame` (C', H', W') and supplies `start` and
    `advance_frame`. Frames are cut into patches (`patch`: side p), whose p * p cells become
    channels; rows and columns are filled up to multiples of `patch * shrink`.

    Args:
        config: options.
        shape: sizes of inputs and outputs.
        patch: p.
        shrink: by what the network divides rows and columns of patches.
        sampling: true frames as inputs in training.

    Raises:
        InputError: other channels out than in.
    """

    frame: tuple[int, int, int]

    def __init__(
        self, config: Section, shape: Shape, patch: int, sampling: Sampling, shrink: int = 1
    ) -> None:
        super().__init__(config, shape)
        shape.require_same_channels("a recurrent model reads what it gave")
        self.patch = patch
        self.sampling = sampling
        self.border = Border(shape.height, shape.width, patch * shrink, shape.longitude_wraps)
        height, width = self.border.size
        self.frame = (shape.channels_in * patch**2, height // patch, width // patch)

    @abstractmethod
    def start(self, frame: Tensor) -> State:
        """What is known before the first frame (B, C', H', W'), such as states of zeros."""

    @abstractmethod
    def advance_frame(self, frame: Tensor, state: State) -> tuple[Tensor, State, Losses]:
        """From one frame to the next.

        Args:
            frame: (B, C', H', W').
            state: from `start` or the frame before.

        Returns:
            Forecast of the next frame (B, C', H', W'), new state, and scalar losses that are
            averaged over frames.
        """

    def weight_losses(self) -> Losses:
        """Scalar losses of the weights themselves, each already weighted."""
        return {}

    def advance(self, x: Tensor) -> tuple[Tensor, Losses]:
        """(B, T_in, C, H, W) -> (B, T_out, C, H, W)."""
        y, losses = self._run(x, self.shape.out_steps)
        return y[:, self.shape.in_steps - 1 :], losses

    def forward_in_training(
        self, x: Tensor, targets: Tensor, step: int, criterion: Criterion
    ) -> tuple[Tensor, Losses]:
        """Also learns the second to last input from those before, as published.

        The loss `inputs` gives each of those frames the weight that a target frame has.
        """
        in_steps, out_steps = self.shape.in_steps, self.shape.out_steps
        truth = torch.cat([x, targets[:, :-1]], dim=1)
        read = self.sampling.draw(step, len(x), in_steps - 1, out_steps - 1).to(x.device)
        y, losses = self._run(truth, out_steps, read)
        early, late = y.split([in_steps - 1, out_steps], dim=1)
        if in_steps > 1:
            losses["inputs"] = criterion(early, x[:, 1:]) * (in_steps - 1) / out_steps
        return late, losses

    def _run(
        self, frames: Tensor, out_steps: int, read: Tensor | None = None
    ) -> tuple[Tensor, Losses]:
        """Forecasts of the second to last known frame and of T_out after them.

        Args:
            frames: (B, T, C, H, W) true frames: the T_in inputs and, in training, the targets but
                for the last.
            out_steps: T_out.
            read: (B, T - 1), where a true frame is read rather than the forecast of it, from the
                second on; without it, wherever there is one.

        Returns:
            (B, T_in - 1 + T_out, C, H, W) and losses.
        """
        # (B, T, C', H', W')
        known = F.pixel_unshuffle(self.border.pad(frames), self.patch)
        frame = known[:, 0]
        state = self.start(frame)
        forecasts: list[Tensor] = []
        of_frames: list[Losses] = []
        for index in range(self.shape.in_steps - 1 + out_steps):
            if index > 0:
                frame = forecasts[-1]
                if read is not None:
                    frame = torch.where(
                        read[:, index - 1, None, None, None], known[:, index], frame
                    )
                elif index < known.shape[1]:
                    frame = known[:, index]
            forecast, state, losses = self.advance_frame(frame, state)
            forecasts.append(forecast)
            of_frames.append(losses)
        y = self.border.crop(F.pixel_shuffle(torch.stack(forecasts, dim=1), self.patch))
        return y, {**average(of_frames), **self.weight_losses()}
