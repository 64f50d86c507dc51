"""DMVFN, dynamic multi-scale voxel flow: the last two frames, moved along learnt flows and blended.

Hu et al. (2023), arXiv 2303.09875. Blocks at several scales refine two flows and a mask; which of
them a sample passes is chosen for it by a small network.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from weathersvq.errors import InputError
from weathersvq.models.border import Border
from weathersvq.models.forecaster import Criterion, Forecaster, Losses, Shape
from weathersvq.schema import Section

# Channels of a block's fast path, of flows and mask, and of the routing network.
FAST, FLOWS, ROUTING = 8, 4, 32
# The deepest block works on a quarter of the frame, halved twice.
MULTIPLE = 16


class DMVFNConfig(Section):
    """Options of DMVFN (defaults: the published ones)."""

    kind: Literal["dmvfn"] = "dmvfn"
    widths: tuple[PositiveInt, ...] = Field(
        (160, 160, 160, 80, 80, 80, 44, 44, 44),
        min_length=1,
        description="channels of the blocks, multiples of 4",
    )
    scales: tuple[Literal[1, 2, 4], ...] = Field(
        (4, 4, 4, 2, 2, 2, 1, 1, 1), description="by what each block first shrinks the frame"
    )
    share: float = Field(
        0.5, gt=0, le=1, description="beta, share of the blocks that a sample passes on average"
    )
    decay: float = Field(
        0.8,
        gt=0,
        le=1,
        description="gamma: a block's own loss weighs so much less than the next one's",
    )
    clamp: bool = Field(
        False, description="cut the output to 0 and 1, as published for pictures; not for fields"
    )

    @model_validator(mode="after")
    def _fits(self) -> DMVFNConfig:
        if len(self.scales) != len(self.widths):
            raise ValueError(
                f"{len(self.widths)} widths need as many scales, not {len(self.scales)}"
            )
        if any(width % 4 for width in self.widths):
            raise ValueError(f"widths {self.widths} must be multiples of 4")
        return self


def _convolution(channels_in: int, channels_out: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size=3, stride=stride, padding=1),
        nn.PReLU(channels_out),
    )


def warp(image: Tensor, flow: Tensor, period: int | None = None) -> Tensor:
    """Look each cell up where its flow points to, between cells linearly.

    Args:
        image: (B, C, H, W).
        flow: (B, 2, H, W), columns and rows.
        period: columns after which the map begins anew (longitudes), at most W; without it columns,
            like rows, end at the edge.

    Returns:
        (B, C, H, W).
    """
    height, width = image.shape[2:]
    columns = torch.arange(width, device=image.device) + flow[:, 0]
    rows = torch.arange(height, device=image.device)[:, None] + flow[:, 1]
    if period is not None:
        # One column more, so that between the last and the first there is something, too.
        columns = columns % period
        image = torch.cat([image[..., :period], image[..., :1]], dim=3)
    grid = torch.stack(
        [2 * columns / max(image.shape[3] - 1, 1) - 1, 2 * rows / max(height - 1, 1) - 1], dim=3
    )
    return F.grid_sample(
        image, grid.to(image.dtype), mode="bilinear", padding_mode="border", align_corners=True
    )


class FlowBlock(nn.Module):
    """A change of flows and mask, seen at one scale and, by a fast path, at full size.

    Args:
        channels: of frames, warped frames and mask together.
        width: channels inside.
        scale: by what the frame is shrunk first.
    """

    def __init__(self, channels: int, width: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.shrink = nn.Sequential(
            _convolution(channels + FLOWS, width // 2, stride=2),
            _convolution(width // 2, width, stride=2),
        )
        self.deep = nn.Sequential(*(_convolution(width, width) for _ in range(3)))
        self.squeeze = _convolution(width, width // 4)
        self.fast = nn.Sequential(
            _convolution(channels + FLOWS, FAST, stride=2), _convolution(FAST, FAST)
        )
        self.last = nn.ConvTranspose2d(width // 4 + FAST, FLOWS + 1, 4, stride=2, padding=1)

    def forward(self, x: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """(B, channels, H, W) and flows (B, 4, H, W) -> changes of flows and of mask (B, 1, H, W)."""
        fast = self.fast(torch.cat([x, flow], dim=1))
        if self.scale > 1:
            smaller = 1 / self.scale
            x, flow = (
                F.interpolate(each, scale_factor=smaller, mode="bilinear") for each in (x, flow)
            )
            flow = flow * smaller
        slow = self.shrink(torch.cat([x, flow], dim=1))
        slow = self.squeeze(self.deep(slow) + slow)
        slow = F.interpolate(slow, scale_factor=2 * self.scale, mode="bilinear")
        changes = self.last(torch.cat([slow, fast], dim=1))
        return changes[:, :FLOWS], changes[:, FLOWS:]


class Blend(NamedTuple):
    """Flows of both frames and the mask that blends them, before its sigmoid."""

    flow: Tensor
    mask: Tensor


class DMVFN(Forecaster):
    """One frame from the last two; further ones by feeding it back.

    The published training adds a perceptual loss by a VGG network whose weights come from elsewhere,
    and measures errors on a Laplacian pyramid; here every block's output is compared by the loss
    that the config names. In forecasting a block is passed where its chance is at least one half,
    or `share` if that is less (published: drawn anew each time). All blocks are computed and those
    that are not passed are masked: samples of a batch pass different ones, and so the work is the
    same whatever the numbers, which compilers need.
    """

    Config = DMVFNConfig
    reference = "Hu et al. (2023), arXiv 2303.09875"
    config: DMVFNConfig

    def __init__(self, config: Section, shape: Shape) -> None:
        super().__init__(config, shape)
        assert isinstance(config, DMVFNConfig)
        shape.require_same_channels("DMVFN moves its inputs")
        if shape.in_steps < 2:
            raise InputError("dmvfn needs two input frames to see a motion; use at least 2 inputs")
        self.border = Border(shape.height, shape.width, MULTIPLE, shape.longitude_wraps)
        channels = shape.channels_in
        self.routing = nn.Sequential(
            nn.Conv2d(2 * channels, ROUTING, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(ROUTING, ROUTING, kernel_size=3, padding=1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(ROUTING, len(config.widths)),
        )
        self.blocks = nn.ModuleList(
            FlowBlock(4 * channels + 1, width, scale)
            for width, scale in zip(config.widths, config.scales, strict=True)
        )

    def advance(self, x: Tensor) -> tuple[Tensor, Losses]:
        """(B, T_in, C, H, W) -> (B, 1, C, H, W)."""
        before, last = self.border.pad(x[:, -2]), self.border.pad(x[:, -1])
        *_, (blend, _alone) = self._refine(before, last)
        return self._picture(before, last, blend)[:, None], {}

    def forward_in_training(
        self, x: Tensor, targets: Tensor, step: int, criterion: Criterion
    ) -> tuple[Tensor, Losses]:
        """Every frame from the two true ones before it, as published.

        Losses are `inputs`, of the input frames, with the weight that a target frame has, and
        `blocks`, of what the blocks but the last one give by themselves.
        """
        frames = torch.cat([x, targets], dim=1)
        count = frames.shape[1] - 2
        before, last, truth = (
            self.border.pad(frames[:, start : start + count].flatten(0, 1)) for start in range(3)
        )
        *others, (blend, _alone) = self._refine(before, last)
        own = x.new_zeros(())
        for index, (_, alone) in enumerate(others):
            weight = self.config.decay ** (len(others) - index)
            alone_picture = self._picture(before, last, alone)
            own = own + weight * criterion(alone_picture, self.border.crop(truth))
        y = self._picture(before, last, blend).unflatten(0, (x.shape[0], count))
        out_steps = targets.shape[1]
        early, late = y.split([count - out_steps, out_steps], dim=1)
        losses: Losses = {"blocks": own * count / out_steps}
        if early.shape[1] > 0:
            losses["inputs"] = criterion(early, x[:, 2:]) * early.shape[1] / out_steps
        return late, losses

    def _refine(self, before: Tensor, last: Tensor) -> Iterator[tuple[Blend, Blend]]:
        """Flows and mask after each block, as they are, and as they were had all taken this one."""
        height, width = before.shape[2:]
        passed = self._route(before, last)
        flow = before.new_zeros(before.shape[0], FLOWS, height, width)
        mask = before.new_zeros(before.shape[0], 1, height, width)
        warped = (before, last)
        for index, block in enumerate(self.blocks):
            taken = passed[:, index, None, None, None]
            flow_change, mask_change = block(torch.cat([before, last, *warped, mask], dim=1), flow)
            alone = Blend(flow + flow_change, mask + mask_change)
            flow, mask = flow + flow_change * taken, mask + mask_change * taken
            warped = self._warp(before, last, flow)
            yield Blend(flow, mask), alone

    def _route(self, before: Tensor, last: Tensor) -> Tensor:
        """(B, blocks) of 0 and 1: which blocks each sample passes."""
        chance = self.routing(torch.cat([before, last], dim=1)).sigmoid()
        expected = self.config.share * len(self.blocks)
        chance = (expected * chance / (chance.sum(dim=1, keepdim=True) + 1e-6)).clamp(0, 1)
        if not self.training:
            # Where few blocks are to be passed no chance may reach one half.
            return (chance >= min(0.5, self.config.share)).to(chance.dtype)
        # The gradient passes the draw as if it were not there.
        return chance + (torch.bernoulli(chance) - chance).detach()

    def _warp(self, before: Tensor, last: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        # The map's own width: columns that the border added are its first ones once more.
        period = self.shape.width if self.shape.longitude_wraps else None
        return warp(before, flow[:, :2], period), warp(last, flow[:, 2:], period)

    def _picture(self, before: Tensor, last: Tensor, blend: Blend) -> Tensor:
        """(B, C, H, W), cut to the frame's own size."""
        first, second = self._warp(before, last, blend.flow)
        share = blend.mask.sigmoid()
        y = self.border.crop(first * share + second * (1 - share))
        return y.clamp(0, 1) if self.config.clamp else y
