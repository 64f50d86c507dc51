"""PredRNN-V2: PredRNN whose two memories are kept apart, trained by reverse scheduled sampling.

Wang et al. (2021), arXiv 2103.09504.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from weathersvq.models.baselines.predrnn import PredRNN, Step
from weathersvq.models.baselines.recurrent import RecurrentConfig, Sampling
from weathersvq.models.forecaster import Losses, Shape
from weathersvq.schema import Section


class PredRNNv2Config(RecurrentConfig):
    """Options of PredRNN-V2 (defaults: the published ones for WeatherBench)."""

    kind: Literal["predrnnv2"] = "predrnnv2"
    sampling: Sampling = Field(
        Sampling(mode="reverse"), description="true frames as inputs in training"
    )
    decouple_weight: float = Field(
        0.1, ge=0, description="weight of the loss that keeps the two memories apart"
    )


class PredRNNv2(PredRNN):
    """PredRNN with the loss `decouple`: how alike are the gains of the two memories.

    Both gains pass the same 1x1 convolution; the absolute cosine between them, over the cells of
    each channel, is averaged over channels, layers and frames.
    """

    Config = PredRNNv2Config
    reference = "Wang et al. (2021), arXiv 2103.09504"
    config: PredRNNv2Config

    def __init__(self, config: Section, shape: Shape) -> None:
        super().__init__(config, shape)
        self.adapter = nn.Conv2d(self.hidden, self.hidden, kernel_size=1, bias=False)

    def losses(self, steps: list[Step]) -> Losses:
        if not self.training:
            return {}
        alike = [
            F.cosine_similarity(
                self.adapter(step.cell_gain).flatten(2), self.adapter(step.memory_gain).flatten(2),
                dim=2,
            ).abs().mean()
            for step in steps
        ]  # fmt: skip
        # The published weight stands beside a mean over all frames learnt; here, that mean counts as
        # often as there are frames to each target frame.
        frames = (self.shape.in_steps - 1 + self.shape.out_steps) / self.shape.out_steps
        return {"decouple": self.config.decouple_weight * frames * torch.stack(alike).mean()}
