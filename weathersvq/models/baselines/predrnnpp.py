"""PredRNN++: memories in cascade, and a highway for the gradient (arXiv 1804.06300)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from weathersvq.models.baselines.predrnn import FORGET_BIAS
from weathersvq.models.baselines.recurrent import Recurrent, RecurrentConfig, convolve
from weathersvq.models.forecaster import Losses, Shape
from weathersvq.schema import Section

# The highway's first weights lie within +- this.
HIGHWAY_START = 0.001


class PredRNNppConfig(RecurrentConfig):
    """Options of PredRNN++ (defaults: the published ones for WeatherBench)."""

    kind: Literal["predrnnpp"] = "predrnnpp"
    depth: int = Field(4, ge=2, description="layers of cells; the highway lies behind the first")


class CausalCell(nn.Module):
    """An LSTM cell whose wandering memory is written after its own, and knows it.

    Args:
        channels: of the input.
        hidden: of the states.
        kernel: size of the convolutions.
        normalized: (h, w) of the map where gates are normalised.
    """

    def __init__(
        self, channels: int, hidden: int, kernel: int, normalized: tuple[int, int] | None
    ) -> None:
        super().__init__()
        self.from_input = convolve(channels, 7 * hidden, kernel, normalized)
        self.from_hidden = convolve(hidden, 4 * hidden, kernel, normalized)
        self.from_cell = convolve(hidden, 3 * hidden, kernel, normalized)
        self.from_memory = convolve(hidden, 3 * hidden, kernel, normalized)
        self.from_new_cell = convolve(hidden, 4 * hidden, kernel, normalized)
        self.from_new_memory = convolve(hidden, hidden, kernel, normalized)
        self.merge = nn.Conv2d(2 * hidden, hidden, kernel_size=1, bias=False)

    def forward(
        self, x: Tensor, hidden: Tensor, cell: Tensor, memory: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(B, C, H, W) and states (B, hidden, H, W) -> new hidden, own and wandering memory."""
        x_enter, x_forget, x_content, y_enter, y_forget, y_content, x_leave = self.from_input(
            x
        ).chunk(7, dim=1)
        h_enter, h_forget, h_content, h_leave = self.from_hidden(hidden).chunk(4, dim=1)
        c_enter, c_forget, c_content = self.from_cell(cell).chunk(3, dim=1)
        m_enter, m_forget, m_kept = self.from_memory(memory).chunk(3, dim=1)

        enter = (x_enter + h_enter + c_enter).sigmoid()
        forget = (x_forget + h_forget + c_forget + FORGET_BIAS).sigmoid()
        cell = forget * cell + enter * (x_content + h_content + c_content).tanh()

        n_enter, n_content, n_forget, n_leave = self.from_new_cell(cell).chunk(4, dim=1)
        enter = (y_enter + m_enter + n_enter).sigmoid()
        forget = (y_forget + m_forget + n_forget + FORGET_BIAS).sigmoid()
        memory = forget * m_kept.tanh() + enter * (y_content + n_content).tanh()

        leave = (x_leave + h_leave + n_leave + self.from_new_memory(memory)).tanh()
        return leave * self.merge(torch.cat([cell, memory], dim=1)).tanh(), cell, memory


class GradientHighway(nn.Module):
    """A state that skips the layers above, so that gradients reach far back in time.

    Args:
        hidden: channels.
        kernel: size of the convolutions.
        normalized: (h, w) of the map where gates are normalised.
    """

    def __init__(self, hidden: int, kernel: int, normalized: tuple[int, int] | None) -> None:
        super().__init__()
        self.from_state = convolve(hidden, 2 * hidden, kernel, normalized)
        self.from_input = convolve(hidden, 2 * hidden, kernel, normalized)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.uniform_(module.weight, -HIGHWAY_START, HIGHWAY_START)

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """(B, hidden, H, W), twice -> the new state."""
        content, switch = (self.from_input(x) + self.from_state(state)).chunk(2, dim=1)
        switch = switch.sigmoid()
        return switch * content.tanh() + (1 - switch) * state


class State(NamedTuple):
    """Hidden and own memory of each layer, the wandering memory, and the highway."""

    hidden: list[Tensor]
    cells: list[Tensor]
    memory: Tensor
    highway: Tensor


class PredRNNpp(Recurrent):
    """Layers of causal cells with a gradient highway behind the first."""

    Config = PredRNNppConfig
    reference = "Wang et al. (2018), arXiv 1804.06300"

    def __init__(self, config: Section, shape: Shape) -> None:
        assert isinstance(config, PredRNNppConfig)
        super().__init__(config, shape, config.patch, config.sampling)
        channels, height, width = self.frame
        normalized = (height, width) if config.layer_norm else None
        self.hidden = config.hidden
        self.cells = nn.ModuleList(
            CausalCell(
                channels if index == 0 else config.hidden, config.hidden, config.kernel, normalized
            )
            for index in range(config.depth)
        )
        self.highway = GradientHighway(config.hidden, config.kernel, normalized)
        self.read_out = nn.Conv2d(config.hidden, channels, kernel_size=1, bias=False)

    def start(self, frame: Tensor) -> State:
        zeros = frame.new_zeros(frame.shape[0], self.hidden, *frame.shape[2:])
        return State([zeros] * len(self.cells), [zeros] * len(self.cells), zeros, zeros)

    def advance_frame(self, frame: Tensor, state: State) -> tuple[Tensor, State, Losses]:
        hidden, cells, memory, highway = list(state.hidden), list(state.cells), *state[2:]
        x = frame
        for index, layer in enumerate(self.cells):
            hidden[index], cells[index], memory = layer(x, hidden[index], cells[index], memory)
            x = hidden[index]
            if index == 0:
                x = highway = self.highway(x, highway)
        return self.read_out(x), State(hidden, cells, memory, highway), {}
