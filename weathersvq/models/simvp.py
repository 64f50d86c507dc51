"""SimVP, plain or with a quantizer: encoder -> quantizer -> translator -> decoder.

SimVP: Gao et al. (2022, arXiv 2206.05099), Tan et al. (2022, arXiv 2211.12509); with SVQ: arXiv
2312.03406. Plain SimVP is the one whose quantizer is the identity.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import Tensor

from weathersvq.errors import InputError, section
from weathersvq.models.border import Border
from weathersvq.models.codec import Decoder, Encoder, shrink_factor
from weathersvq.models.forecaster import Criterion, Forecaster, Losses, Shape
from weathersvq.models.layers import fast_layout
from weathersvq.models.quantizers import QUANTIZERS
from weathersvq.models.quantizers.identity import IdentityConfig
from weathersvq.models.translators import TRANSLATORS
from weathersvq.models.translators.gsta import GSTAConfig
from weathersvq.schema import Section, choose

# From how many training windows the usual size of a change is taken.
CALIBRATION_WINDOWS = 128

TranslatorConfig = Annotated[
    SerializeAsAny[Section],
    BeforeValidator(partial(choose, "translator", [each.Config for each in TRANSLATORS])),
]
QuantizerConfig = Annotated[
    SerializeAsAny[Section],
    BeforeValidator(partial(choose, "quantizer", [each.Config for each in QUANTIZERS])),
]


class SimVPConfig(Section):
    """Options of SimVP (defaults: the paper's for WeatherBench-S temperature, without SVQ)."""

    kind: Literal["simvp"] = "simvp"
    hid_spatial: int = Field(
        32, ge=2, multiple_of=2, description="hid_S, latent channels of a frame"
    )
    hid_temporal: int = Field(256, ge=1, description="hid_T, channels inside the translator")
    depth_spatial: int = Field(
        2, ge=1, description="N_S, blocks of encoder and of decoder; every second halves the grid"
    )
    depth_temporal: int = Field(8, ge=1, description="N_T, blocks of the translator")
    translator: TranslatorConfig = Field(
        GSTAConfig(), description="kind of translator and its options"
    )
    quantizer: QuantizerConfig = Field(
        IdentityConfig(), description="kind of quantizer and its options"
    )
    quantizer_position: Literal["before", "after"] = Field(
        "before", description="where the quantizer stands, seen from the translator"
    )
    predict: Literal["state", "change"] = Field(
        "state",
        description="output: the fields, or their difference from the last input in units of what "
        "is usual at that lead",
    )
    halo: int = Field(
        0,
        ge=0,
        description="columns and rows added on each side before the network and cut off after it: "
        "taken from round the globe in longitude where the grid is global, the edge repeated "
        "elsewhere. Keeps the zeros that convolutions see at the border away from the map",
    )


class SimVP(Forecaster):
    """One network over all T_in frames at once, which gives as many (fewer where T_out is less).

    H and W are padded to multiples of what the encoder needs, and cut back.

    Args:
        config: options.
        shape: sizes of inputs and outputs.

    Raises:
        InputError: output that cannot be fed back or added to the input, for its channels.
    """

    Config = SimVPConfig
    reference = "Gao et al. (2022), arXiv 2206.05099; Tan et al. (2022), arXiv 2211.12509"
    change_scale: Tensor
    config: SimVPConfig

    def __init__(self, config: Section, shape: Shape) -> None:
        super().__init__(config, shape)
        assert isinstance(config, SimVPConfig)
        if shape.channels_in != shape.channels_out:
            differ = f"{shape.channels_in} channels in and {shape.channels_out} out"
            if config.predict == "change":
                raise InputError(
                    f"predict: change adds the output to the input, which does not work with "
                    f"{differ}; use predict: state"
                )
            if shape.out_steps > shape.in_steps:
                raise InputError(
                    f"{shape.out_steps} output steps from {shape.in_steps} input steps need the "
                    f"output fed back, which does not work with {differ}; use at most "
                    f"{shape.in_steps} output steps"
                )
        self.encoder = Encoder(shape.channels_in, config.hid_spatial, config.depth_spatial)
        quantizer = next(each for each in QUANTIZERS if isinstance(config.quantizer, each.Config))
        with section("quantizer"):
            self.quantizer = quantizer(config.hid_spatial, config.quantizer)
        translator = next(
            each for each in TRANSLATORS if isinstance(config.translator, each.Config)
        )
        factor = shrink_factor(config.depth_spatial)
        self.border = Border(shape.height, shape.width, factor, shape.longitude_wraps, config.halo)
        height, width = self.border.size
        with section("translator"):
            self.translator = translator(
                shape.in_steps * config.hid_spatial,
                config.hid_temporal,
                config.depth_temporal,
                (height // factor, width // factor),
                config.translator,
            )
        self.decoder = Decoder(config.hid_spatial, shape.channels_out, config.depth_spatial)
        if config.predict == "change":
            scale = torch.ones(min(shape.in_steps, shape.out_steps), shape.channels_out, 1, 1)
            self.register_buffer("change_scale", scale)

    @torch.no_grad()
    def calibrate(self, windows: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Take the usual size of a change, by lead and channel, from CALIBRATION_WINDOWS windows.

        The network then gives changes in units of what is usual. Without that, its noise at the
        shortest leads, where little changes, would exceed the change itself.
        """
        if self.config.predict == "state":
            return
        changes: list[Tensor] = []
        for inputs, targets in windows:
            changes.append(targets[:, : len(self.change_scale)] - inputs[:, -1:])
            if sum(map(len, changes)) >= CALIBRATION_WINDOWS:
                break
        squares = torch.cat(changes).square()
        self.change_scale.copy_(squares.mean(dim=(0, 3, 4), keepdim=True)[0].sqrt())

    def advance(self, x: Tensor) -> tuple[Tensor, Losses]:
        """(B, T_in, C_in, H, W) -> (B, min(T_in, T_out), C_out, H, W), quantizer's losses."""
        batch, steps = x.shape[:2]
        tokens, skip = self.encode(x)
        quantized = self.quantizer(tokens)
        future = quantized.values
        if self.config.quantizer_position == "before":
            future = self._translate(future)
        # Steps that would be cut need no decoding.
        kept = min(steps, self.shape.out_steps)
        fields = self.decoder(
            fast_layout(future[:, :kept].flatten(0, 1)),
            skip.unflatten(0, (batch, steps))[:, :kept].flatten(0, 1),
        )
        y = self.border.crop(fields).unflatten(0, (batch, kept))
        if self.config.predict == "change":
            y = y * self.change_scale + x[:, -1:]
        return y, dict(quantized.losses)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the quantizer is given.

        Args:
            x: (B, T_in, C_in, H, W).

        Returns:
            Latent maps (B, T_in, D, H', W'), and what the decoder needs beside them
            (B * T_in, D, H, W).
        """
        latent, skip = self.encoder(fast_layout(self.border.pad(x).flatten(0, 1)))
        tokens = latent.unflatten(0, x.shape[:2])
        if self.config.quantizer_position == "after":
            tokens = self._translate(tokens)
        return tokens, skip

    @torch.no_grad()
    def diagnose(self, x: Tensor) -> dict[str, Tensor]:
        """How the codebook is used, see `Quantizer.diagnose`."""
        return self.quantizer.diagnose(self.encode(x)[0])

    def forward_in_training(
        self, x: Tensor, targets: Tensor, step: int, criterion: Criterion
    ) -> tuple[Tensor, Losses]:
        """As `forward_with_losses`, with the losses that the translator brings along."""
        y, losses = self.forward_with_losses(x)
        return y, losses | self.translator.output_losses(y, targets)

    def _translate(self, tokens: Tensor) -> Tensor:
        """(B, T, D, H, W) -> (B, T, D, H, W), the frames' channels side by side on the way."""
        translated = self.translator(fast_layout(tokens.flatten(1, 2)))
        return translated.unflatten(1, tokens.shape[1:3])
