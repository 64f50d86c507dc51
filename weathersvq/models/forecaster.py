"""The face that all models have: (B, T_in, C_in, H, W) -> (B, T_out, C_out, H, W), normalised.

Feeding a model's output back to it is written here, once, for all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from torch import Tensor, nn

from weathersvq.errors import InputError
from weathersvq.schema import Section

Losses = dict[str, Tensor]
# What training compares outputs with the truth by: (predicted, true) -> scalar.
Criterion = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Shape:
    """Sizes of what a model reads and gives.

    Attributes:
        in_steps: T_in, time steps read.
        out_steps: T_out, time steps given.
        channels_in: C_in, fields read.
        channels_out: C_out, fields given.
        height: H, rows (latitude).
        width: W, columns (longitude).
        longitude_wraps: whether the last column borders on the first.
    """

    in_steps: int
    out_steps: int
    channels_in: int
    channels_out: int
    height: int
    width: int
    longitude_wraps: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "longitude_wraps" and value < 1:
                raise InputError(f"{field.name} is {value}; a model needs at least 1")

    @property
    def inputs(self) -> tuple[int, int, int, int]:
        """(T_in, C_in, H, W)."""
        return self.in_steps, self.channels_in, self.height, self.width

    def require_same_channels(self, reason: str) -> None:
        """For models whose outputs are inputs again.

        Raises:
            InputError: other channels out than in; `reason` says why that can't be.
        """
        if self.channels_in != self.channels_out:
            raise InputError(
                f"{reason}, so {self.channels_in} channels in cannot become {self.channels_out} "
                f"out; use as many"
            )


def average(losses: Sequence[Losses]) -> Losses:
    """The mean of each loss over applications that all have the same ones."""
    return {name: torch.stack([each[name] for each in losses]).mean() for name in losses[0]}


def rollout(model: Callable[[Tensor], Tensor], x: Tensor, steps: int) -> Tensor:
    """Run a model for any number of steps.

    Longer than the model's own output: it is applied again, to the last T_in steps of inputs and
    outputs together, and the end is cut. Shorter: cut.

    Args:
        model: (B, T_in, C_in, H, W) -> (B, T, C_out, H, W).
        x: (B, T_in, C_in, H, W).
        steps: wanted, at least 1.

    Returns:
        (B, steps, C_out, H, W).

    Raises:
        InputError: the output has to be fed back but has other channels than the input.
    """
    y = model(x)
    outputs, given = [y], y.shape[1]
    while given < steps:
        if y.shape[2] != x.shape[2]:
            raise InputError(
                f"{steps} steps need the model's output of {given} steps fed back as input, but it "
                f"gives {y.shape[2]} channels and reads {x.shape[2]}; ask for at most {given} steps"
            )
        x = torch.cat([x, y], dim=1)[:, -x.shape[1] :]
        y = model(x)
        outputs.append(y)
        given += y.shape[1]
    return (y if len(outputs) == 1 else torch.cat(outputs, dim=1))[:, :steps]


class Forecaster(nn.Module, ABC):
    """A model that gives the next T_out steps from the last T_in, in normalised units.

    A subclass supplies its `Config` (a section with a `kind`), the `reference` to its paper, its
    layers in a constructor with these arguments, and `advance`, the network itself. Everything else
    follows: `advance` may give any number of steps, and `forward` cuts or feeds back until there
    are T_out.

    Args:
        config: options, a `Config`.
        shape: sizes of inputs and outputs.

    Raises:
        InputError: sizes that cannot work with these options.
    """

    Config: ClassVar[type[Section]]
    reference: ClassVar[str]
    config: Section

    def __init__(self, config: Section, shape: Shape) -> None:
        super().__init__()
        self.config = config
        self.shape = shape

    @abstractmethod
    def advance(self, x: Tensor) -> tuple[Tensor, Losses]:
        """One application of the network.

        Args:
            x: (B, T_in, C_in, H, W).

        Returns:
            (B, T, C_out, H, W) with T at least 1, and scalar auxiliary losses by name: terms that
            training adds to its loss, each already weighted. An empty dict where there are none.
        """

    def calibrate(self, windows: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Take from training windows what the model needs before its first step.

        Args:
            windows: batches of inputs (B, T_in, C_in, H, W) and targets (B, T_out, C_out, H, W), in
                shuffled order; a model looks at as many as it needs.
        """

    def diagnose(self, x: Tensor) -> dict[str, Tensor]:
        """Scalars worth watching while the model learns, by name, such as a codebook's perplexity.

        Args:
            x: (B, T_in, C_in, H, W).
        """
        return {}

    def forward(self, x: Tensor) -> Tensor:
        """(B, T_in, C_in, H, W) -> (B, T_out, C_out, H, W)."""
        return self.forward_with_losses(x)[0]

    def forward_in_training(
        self, x: Tensor, targets: Tensor, step: int, criterion: Criterion
    ) -> tuple[Tensor, Losses]:
        """As `forward_with_losses`, for models that learn from more than their own output.

        Recurrent models sometimes read the truth instead of what they gave (scheduled sampling),
        and some losses compare courses in time; most models need neither.

        Args:
            x: (B, T_in, C_in, H, W).
            targets: (B, T_out, C_out, H, W), the truth.
            step: optimiser steps so far, for schedules.
            criterion: what training compares outputs with the truth by, for losses of the same
                kind on more than the outputs.
        """
        return self.forward_with_losses(x)

    def forward_with_losses(self, x: Tensor) -> tuple[Tensor, Losses]:
        """As `forward`, with the auxiliary losses, averaged over applications of the network.

        Raises:
            InputError: an input of another shape than the model was made for.
        """
        if tuple(x.shape[1:]) != self.shape.inputs:
            raise InputError(
                f"the model was made for inputs (batch, time, channel, latitude, longitude) of "
                f"shape (B, {', '.join(map(str, self.shape.inputs))}), not {tuple(x.shape)}"
            )
        applications: list[Losses] = []

        def apply(window: Tensor) -> Tensor:
            y, losses = self.advance(window)
            applications.append(losses)
            return y

        y = rollout(apply, x, self.shape.out_steps)
        return y, average(applications)
