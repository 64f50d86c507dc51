"""PredNet: layers that predict each other's errors (Lotter et al., 2016, arXiv 1605.08104)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from weathersvq.models.baselines.recurrent import Recurrent, Sampling
from weathersvq.models.forecaster import Losses, Shape
from weathersvq.schema import OddSize, Section


class PredNetConfig(Section):
    """Options of PredNet (defaults: the published widths)."""

    kind: Literal["prednet"] = "prednet"
    widths: tuple[PositiveInt, ...] = Field(
        (32, 64, 128, 256),
        min_length=1,
        description="channels of the layers above the picture; each halves rows and columns",
    )
    kernel: OddSize = Field(3, description="size of all convolutions, odd")
    pixel_max: float | None = Field(
        None,
        gt=0,
        description="predictions of pictures are cut to 0 and this, as published with 1; none: they "
        "are not, as standardised fields need it",
    )
    error_weight: float = Field(
        0.0,
        ge=0,
        description="weight of the mean errors of all layers above the picture in the training "
        "loss; 0.2 beside an absolute error is the published variant L_all",
    )
    sampling: Sampling = Field(
        Sampling(decrease=0.0, stop=10**12),
        description="true frames as inputs in training: always, as published",
    )


def hard_sigmoid(x: Tensor) -> Tensor:
    """A sigmoid of straight lines, of slope 0.2 in the middle."""
    return (0.2 * x + 0.5).clamp(0, 1)


class Representation(nn.Module):
    """A layer's recurrent state, moved by its own errors and by the layer above.

    Args:
        channels: of the layer.
        above: channels of the layer above; 0 at the top.
        kernel: size of the convolution.
    """

    def __init__(self, channels: int, above: int, kernel: int) -> None:
        super().__init__()
        # State, errors of both signs, and the state above.
        self.gates = nn.Conv2d(3 * channels + above, 4 * channels, kernel, padding=kernel // 2)
        nn.init.zeros_(self.gates.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3 C + above, H, W) and cell state (B, C, H, W) -> new state and cell state."""
        enter, forget, content, leave = self.gates(x).chunk(4, dim=1)
        cell = hard_sigmoid(forget) * cell + hard_sigmoid(enter) * content.tanh()
        return hard_sigmoid(leave) * cell.tanh(), cell


class State(NamedTuple):
    """Of each layer: recurrent state, cell state; and the picture that is expected next."""

    states: list[Tensor]
    cells: list[Tensor]
    expected: Tensor


class PredNet(Recurrent):
    """Each layer predicts what it sees; its errors are what the layer above sees.

    Beyond the known frames a forecast is taken as the frame itself, so that the lowest errors are 0.
    (The published code compares it with the forecast before it.)
    """

    Config = PredNetConfig
    reference = "Lotter et al. (2016), arXiv 1605.08104"
    config: PredNetConfig

    def __init__(self, config: Section, shape: Shape) -> None:
        assert isinstance(config, PredNetConfig)
        super().__init__(config, shape, 1, config.sampling, 2 ** len(config.widths))
        self.widths = (shape.channels_in, *config.widths)
        kernel = config.kernel

        def convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
            layer = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            return layer

        self.representations = nn.ModuleList(
            Representation(own, above, kernel)
            for own, above in zip(self.widths, (*self.widths[1:], 0), strict=True)
        )
        self.predictions = nn.ModuleList(convolution(width, width) for width in self.widths)
        self.targets = nn.ModuleList(
            convolution(2 * own, above)
            for own, above in zip(self.widths, self.widths[1:], strict=False)
        )

    def start(self, frame: Tensor) -> State:
        sizes = [
            (frame.shape[2] >> level, frame.shape[3] >> level) for level in range(len(self.widths))
        ]
        zeros = [
            frame.new_zeros(frame.shape[0], width, *size)
            for width, size in zip(self.widths, sizes, strict=True)
        ]
        return self._expect(zeros, zeros, [torch.cat([each, each], dim=1) for each in zeros])

    def advance_frame(self, frame: Tensor, state: State) -> tuple[Tensor, State, Losses]:
        errors: list[Tensor] = []
        seen = frame
        for level, represented in enumerate(state.states):
            expected = (
                state.expected if level == 0 else F.relu(self.predictions[level](represented))
            )
            errors.append(torch.cat([F.relu(expected - seen), F.relu(seen - expected)], dim=1))
            if level < len(self.targets):
                seen = F.max_pool2d(F.relu(self.targets[level](errors[level])), kernel_size=2)
        state = self._expect(state.states, state.cells, errors)
        losses: Losses = {}
        if self.training and self.config.error_weight > 0:
            above = torch.stack([error.mean() for error in errors[1:]]).sum()
            losses["errors"] = self.config.error_weight * above
        return state.expected, state, losses

    def _expect(self, states: list[Tensor], cells: list[Tensor], errors: list[Tensor]) -> State:
        """New states from the top layer down, and the picture that follows from the lowest."""
        states, cells = list(states), list(cells)
        above: list[Tensor] = []
        for level in reversed(range(len(states))):
            x = torch.cat([states[level], errors[level], *above], dim=1)
            states[level], cells[level] = self.representations[level](x, cells[level])
            above = [F.interpolate(states[level], scale_factor=2, mode="nearest")]
        picture = self.predictions[0](states[0])
        if self.config.pixel_max is not None:
            picture = picture.clamp(0, self.config.pixel_max)
        return State(states, cells, picture)
