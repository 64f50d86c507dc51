"""MIM, memory in memory: forget gates made of two memories, for what changes and what stays.

Wang et al. (2018), arXiv 1811.07490. Above a first layer as PredRNN's, each layer's own memory is
kept by a cell that reads how the layer below has changed since the last frame (non-stationary), and
by another one inside it (stationary).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from weathersvq.models.baselines.predrnn import FORGET_BIAS, SpatioTemporalCell
from weathersvq.models.baselines.recurrent import Recurrent, RecurrentConfig, convolve
from weathersvq.models.forecaster import Losses, Shape
from weathersvq.schema import Section


class MIMConfig(RecurrentConfig):
    """Options of MIM (defaults: the published ones for WeatherBench)."""

    kind: Literal["mim"] = "mim"
    depth: int = Field(4, ge=2, description="layers of cells; all but the first are MIM's")
    patch: int = Field(
        4, ge=1, description="cells along the side of the square patches that a frame is cut into"
    )


class PeepholeCell(nn.Module):
    """An LSTM cell whose gates also see its memory, cell by cell of the map.

    Args:
        hidden: channels of input and states.
        kernel: size of the convolutions.
        size: (h, w) of the map, to which its weights are bound.
        normalized: whether gates are normalised.
    """

    def __init__(self, hidden: int, kernel: int, size: tuple[int, int], normalized: bool) -> None:
        super().__init__()
        self.from_input = convolve(hidden, 4 * hidden, kernel, size if normalized else None)
        self.from_hidden = convolve(hidden, 4 * hidden, kernel, size if normalized else None)
        self.peep_before = nn.Parameter(torch.zeros(2 * hidden, *size))
        self.peep_after = nn.Parameter(torch.zeros(hidden, *size))

    def forward(self, x: Tensor, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """(B, hidden, H, W), three times -> new hidden state and memory."""
        gates = self.from_input(x) + self.from_hidden(hidden)
        enter, content, forget, leave = gates.chunk(4, dim=1)
        see_enter, see_forget = self.peep_before.chunk(2)
        enter = (enter + see_enter * memory).sigmoid()
        forget = (forget + see_forget * memory + FORGET_BIAS).sigmoid()
        memory = forget * memory + enter * content.tanh()
        leave = (leave + self.peep_after * memory).sigmoid()
        return leave * memory.tanh(), memory


class MIMCell(nn.Module):
    """PredRNN's cell with a stationary module instead of the forget gate of its own memory.

    Args:
        hidden: channels of input and states.
        kernel: size of the convolutions.
        size: (h, w) of the map.
        normalized: whether gates are normalised.
    """

    def __init__(self, hidden: int, kernel: int, size: tuple[int, int], normalized: bool) -> None:
        super().__init__()
        norm = size if normalized else None
        self.from_input = convolve(hidden, 4 * hidden, kernel, norm)
        self.from_hidden = convolve(hidden, 3 * hidden, kernel, norm)
        self.from_memory = convolve(hidden, 4 * hidden, kernel, norm)
        self.stationary = PeepholeCell(hidden, kernel, size, normalized)
        self.merge = nn.Conv2d(2 * hidden, hidden, kernel_size=1, bias=False)

    def forward(
        self, x: Tensor, change: Tensor, hidden: Tensor, cell: Tensor, memory: Tensor, inner: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All (B, hidden, H, W).

        Args:
            x: hidden state of the layer below.
            change: what the non-stationary cell says of its change.
            hidden, cell: this layer's hidden state and own memory.
            memory: the one that wanders through the layers.
            inner: memory of the stationary module.

        Returns:
            New hidden state, own, wandering and inner memory.
        """
        x_enter, x_content, x_forget, x_leave = self.from_input(x).chunk(4, dim=1)
        h_enter, h_content, h_leave = self.from_hidden(hidden).chunk(3, dim=1)
        m_enter, m_content, m_forget, m_leave = self.from_memory(memory).chunk(4, dim=1)

        gain = (x_enter + m_enter).sigmoid() * (x_content + m_content).tanh()
        memory = (x_forget + m_forget + FORGET_BIAS).sigmoid() * memory + gain
        kept, inner = self.stationary(change, cell, inner)
        cell = kept + (x_enter + h_enter).sigmoid() * (x_content + h_content).tanh()
        leave = (x_leave + h_leave + m_leave).sigmoid()
        return leave * self.merge(torch.cat([cell, memory], dim=1)).tanh(), cell, memory, inner


class State(NamedTuple):
    """Of each layer the hidden state and own memory; of each but the first the others.

    Attributes:
        hidden, cells: a layer's.
        memory: the one that wanders through the layers.
        inner: memories of the stationary modules.
        changes: hidden state and memory of the non-stationary cells.
        begun: whether a frame has been read, so that there is a change.
    """

    hidden: list[Tensor]
    cells: list[Tensor]
    memory: Tensor
    inner: list[Tensor]
    changes: list[tuple[Tensor, Tensor]]
    begun: bool


class MIM(Recurrent):
    """A layer of PredRNN and layers of MIM; works at the resolution that it is made for.

    The stationary modules' memories start from zero with each window and let gradients through, as
    in the authors' code; the published benchmark's keeps them from one batch to the next, cut off
    from the gradient. Its non-stationary cells also hold 1x1 convolutions that it never applies.
    """

    Config = MIMConfig
    reference = "Wang et al. (2018), arXiv 1811.07490"

    def __init__(self, config: Section, shape: Shape) -> None:
        assert isinstance(config, MIMConfig)
        super().__init__(config, shape, config.patch, config.sampling)
        channels, *size = self.frame
        cells = (size[0], size[1])
        hidden, kernel, normalized = config.hidden, config.kernel, config.layer_norm
        self.hidden = hidden
        self.first = SpatioTemporalCell(channels, hidden, kernel, cells if normalized else None)
        above = range(config.depth - 1)
        self.layers = nn.ModuleList(MIMCell(hidden, kernel, cells, normalized) for _ in above)
        self.changes = nn.ModuleList(PeepholeCell(hidden, kernel, cells, normalized) for _ in above)
        self.read_out = nn.Conv2d(hidden, channels, kernel_size=1, bias=False)

    def start(self, frame: Tensor) -> State:
        zeros = frame.new_zeros(frame.shape[0], self.hidden, *frame.shape[2:])
        layers = [zeros] * (len(self.layers) + 1)
        above = [zeros] * len(self.layers)
        return State(layers, layers, zeros, above, [(zeros, zeros)] * len(above), begun=False)

    def advance_frame(self, frame: Tensor, state: State) -> tuple[Tensor, State, Losses]:
        step = self.first(frame, state.hidden[0], state.cells[0], state.memory)
        hidden, cells, memory = [step.hidden], [step.cell], step.memory
        inner, changes = [], []
        # What the lowest non-stationary cell reads; each one above reads the one below it.
        change = step.hidden - state.hidden[0]
        for index, (layer, differ) in enumerate(zip(self.layers, self.changes, strict=True)):
            own = state.changes[index]
            if state.begun:
                own = differ(change, *own)
            change = own[0]
            h, c, memory, kept = layer(
                hidden[-1], change, state.hidden[index + 1], state.cells[index + 1], memory,
                state.inner[index],
            )  # fmt: skip
            hidden.append(h)
            cells.append(c)
            inner.append(kept)
            changes.append(own)
        after = State(hidden, cells, memory, inner, changes, begun=True)
        return self.read_out(hidden[-1]), after, {}
