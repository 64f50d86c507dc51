"""TAU, temporal attention unit (arXiv 2206.12126): a translator of SimVP, and the loss with it."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from weathersvq.models.forecaster import Losses
from weathersvq.models.layers import MixMLP, Residual, large_kernel
from weathersvq.models.translators.base import BlockStack, drop_path_rate
from weathersvq.schema import Section

# Residual branches start almost closed.
LAYER_SCALE = 1e-2
# Added to the true shares of changes, which bounds what an entry's divergence can be.
SHARE_FLOOR = 1e-12


class TAUConfig(Section):
    """Options of the TAU translator."""

    kind: Literal["tau"] = "tau"
    mlp_ratio: float = Field(8.0, gt=0, description="width of a block's MLP over its channels")
    drop: float = Field(0.0, ge=0, lt=1, description="dropout in the MLPs")
    drop_path: float = Field(
        0.1, ge=0, lt=1, description="share of dropped residual paths in the last block"
    )
    kernel: int = Field(
        21, ge=3, description="reach of the statical attention: a 5x5 and a dilated convolution"
    )
    squeezed: int = Field(
        16,
        ge=1,
        description="about the channels in the middle of the dynamical attention; a quarter of all "
        "where that is less",
    )
    divergence_weight: float = Field(
        0.1, ge=0, description="alpha, weight of the differential divergence in the training loss"
    )


class TemporalAttention(nn.Module):
    """Attention of two factors, with a shortcut round the whole.

    Frames lie side by side in the channels. The statical factor looks round each place inside the
    frames; the dynamical one weighs whole channels against each other, and so the frames.

    Args:
        channels: C.
        kernel: reach of the statical attention.
        squeezed: about the channels in the middle of the dynamical attention.
    """

    def __init__(self, channels: int, kernel: int, squeezed: int) -> None:
        super().__init__()
        self.before = nn.Conv2d(channels, channels, kernel_size=1)
        self.activation = nn.GELU()
        near, far = large_kernel(channels, kernel)
        self.statical = nn.Sequential(near, far, nn.Conv2d(channels, channels, kernel_size=1))
        # The published rule: `squeezed` channels, not quite where it does not divide.
        middle = max(channels // max(channels // squeezed, 4), 1)
        self.dynamical = nn.Sequential(
            nn.Linear(channels, middle, bias=False),
            nn.ReLU(),
            nn.Linear(middle, channels, bias=False),
            nn.Sigmoid(),
        )
        self.after = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        y = self.activation(self.before(x))
        dynamical = self.dynamical(y.mean(dim=(-2, -1)))[..., None, None]
        return x + self.after(dynamical * self.statical(y) * y)


class TAU(BlockStack):
    """Blocks of temporal attention and MLP; works at any resolution."""

    Config = TAUConfig
    reference = "Tan et al. (2022), arXiv 2206.12126"
    config: TAUConfig

    def make_block(
        self, channels: int, index: int, depth: int, resolution: tuple[int, int], config: Section
    ) -> nn.Module:
        assert isinstance(config, TAUConfig)

        def residual(branch: nn.Module) -> Residual:
            return Residual(
                nn.BatchNorm2d(channels),
                branch,
                drop_path_rate(index, depth, config.drop_path),
                torch.full((channels, 1, 1), LAYER_SCALE),
            )

        # As published, the attention's layers keep torch's own start; only the MLP's are drawn by
        # fan-out.
        attention = TemporalAttention(channels, config.kernel, config.squeezed)
        mlp = MixMLP(channels, int(channels * config.mlp_ratio), config.drop)
        return nn.Sequential(OrderedDict(attention=residual(attention), mlp=residual(mlp)))

    def output_losses(self, predicted: Tensor, targets: Tensor) -> Losses:
        """The differential divergence, by its weight."""
        weight = self.config.divergence_weight
        return {"divergence": weight * differential_divergence(predicted, targets)}


def differential_divergence(predicted: Tensor, target: Tensor, temperature: float = 0.1) -> Tensor:
    """How differently the prediction distributes its changes from frame to frame over the cells.

    The changes between neighbouring frames become a distribution over all C*H*W entries, by a
    softmax; the divergence (Kullback and Leibler) of the predicted from the true one is averaged
    over samples, steps and, as published, entries. It is 0 where the changes agree but for a
    constant and positive otherwise, at most 28 over the number of entries. (The published code
    gives 0 for two frames, too.)

    Args:
        predicted: (B, T, C, H, W).
        target: (B, T, C, H, W), the truth.
        temperature: what changes are divided by; smaller looks at the largest changes only.

    Returns:
        Scalar, to be weighted (0.1 as published) and added to the loss; 0 for a single frame.
    """
    if predicted.shape[1] == 1:
        return predicted.new_zeros(())
    log_predicted, log_target = (
        (frames.diff(dim=1).flatten(2) / temperature).log_softmax(dim=-1)
        for frames in (predicted, target)
    )
    floor = log_target.new_tensor(math.log(SHARE_FLOOR))
    divergence = log_predicted - torch.logaddexp(log_target, floor)
    return (log_predicted.exp() * divergence).mean()
