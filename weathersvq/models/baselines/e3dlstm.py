"""E3D-LSTM: cells that read short windows of frames and recall all their past by attention.

Wang et al. (2019), Eidetic 3D LSTM: A model for video prediction and beyond, ICLR.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from weathersvq.models.baselines.predrnn import FORGET_BIAS
from weathersvq.models.baselines.recurrent import Recurrent, RecurrentConfig
from weathersvq.models.forecaster import Losses, Shape
from weathersvq.schema import Section

# Frames that a cell reads together.
WINDOW = 2


class E3DLSTMConfig(RecurrentConfig):
    """Options of E3D-LSTM (defaults: the published ones for WeatherBench)."""

    kind: Literal["e3dlstm"] = "e3dlstm"
    patch: int = Field(
        4, ge=1, description="cells along the side of the square patches that a frame is cut into"
    )
    stride: int = Field(
        1, ge=1, description="step of the cells' convolutions, whose results are then repeated"
    )


class WindowConvolution(nn.Module):
    """A 3D convolution as deep as the window, (B, C, 2, H, W) -> (B, C', 2, H, W).

    As in the published benchmarks, nothing is padded in time: one result, repeated for both frames
    of the window. That is a convolution of the frames side by side, as channels.

    Args:
        channels_in: C.
        channels_out: C'.
        kernel: odd size in space.
        stride: step in space; a result is repeated for the cells that it steps over.
        normalized: (h, w) of the map where the output is normalised.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        stride: int,
        normalized: tuple[int, int] | None,
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(
            WINDOW * channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False
        )
        self.norm = (
            nn.Identity()
            if normalized is None
            else nn.LayerNorm([channels_out, WINDOW, *normalized])
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, 2, H, W) -> (B, C', 2, H, W)."""
        y = self.convolution(x.flatten(1, 2))
        if y.shape[2:] != x.shape[3:]:
            y = F.interpolate(y, x.shape[3:])
        return self.norm(y.unsqueeze(2).expand(-1, -1, WINDOW, -1, -1))


def recall(query: Tensor, history: list[Tensor]) -> Tensor:
    """What past memories hold at the places that are like the query.

    Args:
        query: (B, C, 2, H, W).
        history: past memories of the same shape, each place a key and a value.

    Returns:
        (B, C, 2, H, W).
    """

    def tokens(x: Tensor) -> Tensor:
        # (B, 1, 2 H W, C), with an axis of heads and in this order in memory: so attention need not
        # keep the matrix of likenesses, which is large.
        return x.flatten(2).transpose(1, 2).unsqueeze(1).contiguous()

    past = torch.cat([tokens(memory) for memory in history], dim=2)
    recalled = F.scaled_dot_product_attention(tokens(query), past, past, scale=1.0)
    return recalled.transpose(2, 3).reshape(query.shape)


class EideticCell(nn.Module):
    """An LSTM cell that recalls, instead of forgetting, and a memory from layer to layer.

    Args:
        channels: of the input.
        hidden: of the states.
        kernel: size of the convolutions in space.
        stride: their step in space.
        size: (h, w) of the map.
        normalized: whether gates are normalised.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        kernel: int,
        stride: int,
        size: tuple[int, int],
        normalized: bool,
    ) -> None:
        super().__init__()
        norm = size if normalized else None
        self.from_input = WindowConvolution(channels, 7 * hidden, kernel, stride, norm)
        self.from_hidden = WindowConvolution(hidden, 4 * hidden, kernel, stride, norm)
        self.from_memory = WindowConvolution(hidden, 4 * hidden, kernel, stride, norm)
        self.from_new_cell = WindowConvolution(hidden, hidden, kernel, stride, norm)
        self.from_new_memory = WindowConvolution(hidden, hidden, kernel, stride, norm)
        self.norm = nn.LayerNorm([hidden, WINDOW, *size])
        self.merge = nn.Conv3d(2 * hidden, hidden, kernel_size=1, bias=False)

    def forward(
        self, x: Tensor, hidden: Tensor, history: list[Tensor], memory: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step of one layer.

        Args:
            x: (B, C, 2, H, W).
            hidden, memory: (B, hidden, 2, H, W).
            history: the cell's memories so far, the last one the present.

        Returns:
            New hidden state, cell memory and wandering memory.
        """
        h_enter, h_content, h_recall, h_leave = self.from_hidden(hidden).chunk(4, dim=1)
        x_enter, x_content, x_recall, x_leave, y_enter, y_content, y_forget = self.from_input(
            x
        ).chunk(7, dim=1)
        m_enter, m_forget, m_content, m_kept = self.from_memory(memory).chunk(4, dim=1)

        recalled = recall((x_recall + h_recall).sigmoid(), history)
        gain = (x_enter + h_enter).sigmoid() * (x_content + h_content).tanh()
        cell = self.norm(history[-1] + recalled) + gain

        forget = (y_forget + m_forget + FORGET_BIAS).sigmoid()
        gain = (y_enter + m_enter).sigmoid() * (y_content + m_content).tanh()
        memory = forget * m_kept.tanh() + gain

        leave = x_leave + h_leave + self.from_new_cell(cell) + self.from_new_memory(memory)
        # As published, one squashed after the other.
        leave = leave.tanh().sigmoid()
        return self.merge(torch.cat([cell, memory], dim=1)).tanh() * leave, cell, memory


class State(NamedTuple):
    """The frame before; of each layer the hidden state and all cell memories; the other memory."""

    frame: Tensor
    hidden: list[Tensor]
    history: list[list[Tensor]]
    memory: Tensor


class E3DLSTM(Recurrent):
    """Layers of eidetic cells over windows of two frames; works at its own resolution.

    The wandering memory does wander, as in the paper: in the published code, the authors' own too,
    each layer gives on what it got, so that it stays zero and its weights never learn. Attention
    compares places by their channels, as the authors' code does; a later port regroups the numbers
    regardless of what they are.
    """

    Config = E3DLSTMConfig
    reference = "Wang et al. (2019), Eidetic 3D LSTM, ICLR"

    def __init__(self, config: Section, shape: Shape) -> None:
        assert isinstance(config, E3DLSTMConfig)
        super().__init__(config, shape, config.patch, config.sampling)
        channels, height, width = self.frame
        self.hidden = config.hidden
        self.cells = nn.ModuleList(
            EideticCell(
                channels if index == 0 else config.hidden,
                config.hidden,
                config.kernel,
                config.stride,
                (height, width),
                config.layer_norm,
            )
            for index in range(config.depth)
        )
        self.read_out = nn.Conv2d(WINDOW * config.hidden, channels, kernel_size=1, bias=False)

    def start(self, frame: Tensor) -> State:
        zeros = frame.new_zeros(frame.shape[0], self.hidden, WINDOW, *frame.shape[2:])
        layers = range(len(self.cells))
        return State(
            torch.zeros_like(frame), [zeros for _ in layers], [[zeros] for _ in layers], zeros
        )

    def advance_frame(self, frame: Tensor, state: State) -> tuple[Tensor, State, Losses]:
        x, memory = torch.stack([state.frame, frame], dim=2), state.memory
        hidden, history = [], []
        for layer, before, past in zip(self.cells, state.hidden, state.history, strict=True):
            x, cell, memory = layer(x, before, past, memory)
            hidden.append(x)
            history.append([*past, cell])
        return self.read_out(x.flatten(1, 2)), State(frame, hidden, history, memory), {}
