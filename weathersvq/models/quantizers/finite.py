"""Quantization without a learned codebook: few values a channel, their combinations are the codes.

Latent vectors are projected to few channels and back; the projections learn, the codes are given.
Defaults are the published settings (arXiv 2312.03406, Table 11).
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from weathersvq.errors import InputError
from weathersvq.models.quantizers.lookup import Lookup, library
from weathersvq.schema import Section

# More would be a codebook that no memory holds.
MOST_CODES = 2**20


def _power_of_two(size: int) -> int:
    if size & (size - 1):
        below = 2 ** (size.bit_length() - 1)
        raise InputError(
            f"not a power of two, which codes of one bit a channel need; use {below} or {2 * below}"
        )
    return size


def _not_too_many(levels: tuple[int, ...]) -> tuple[int, ...]:
    if math.prod(levels) > MOST_CODES:
        raise InputError(
            f"these make {math.prod(levels)} codes, more than {MOST_CODES}; give fewer or smaller "
            "levels"
        )
    return levels


PowerOfTwo = Annotated[int, Field(ge=2, le=MOST_CODES), AfterValidator(_power_of_two)]
Levels = Annotated[
    tuple[Annotated[int, Field(ge=2)], ...],
    Field(min_length=1),
    AfterValidator(_not_too_many),
]


class EntropyOptions(Section):
    """The loss that lookup-free kinds learn by (defaults: the paper's and the library's)."""

    entropy_weight: float = Field(
        0.1,
        ge=0,
        description="weight of the loss that makes each choice sure and all choices equally "
        "frequent",
    )
    diversity: float = Field(
        1.0, ge=0, description="what equal frequency weighs in that loss, beside sureness"
    )
    commitment_weight: float = Field(
        0.0, ge=0, description="weight of the loss that draws latent vectors to their codes"
    )
    entropy_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the latent vectors, drawn anew each step, that the loss is computed "
        "from: it meets each of them with all codes, which takes memory",
    )


class ResidualFSQConfig(Section):
    """Options of residual FSQ (defaults: the paper's; 8, 8, 4, 4 make 1024 codes)."""

    kind: Literal["residual_fsq"] = "residual_fsq"
    levels: Levels = Field(
        (8, 5, 5, 3), description="values of each channel; their product is the number of codes"
    )
    quantizers: int = Field(
        8, ge=1, description="number of quantizers, each for what those before it left over"
    )


class LFQConfig(EntropyOptions):
    """Options of LFQ (defaults: the paper's)."""

    kind: Literal["lfq"] = "lfq"
    codebook_size: PowerOfTwo = Field(8192, description="N, number of codes, a power of two")


class ResidualLFQConfig(EntropyOptions):
    """Options of residual LFQ (defaults: the paper's)."""

    kind: Literal["residual_lfq"] = "residual_lfq"
    codebook_size: PowerOfTwo = Field(256, description="N, number of codes, a power of two")
    quantizers: int = Field(
        8, ge=1, description="number of quantizers, each for what those before it left over"
    )


class ResidualFSQ(Lookup):
    """Finite scalar quantization (arXiv 2309.15505), residual: each channel rounded to its levels.

    No auxiliary losses.
    """

    Config = ResidualFSQConfig
    reference = "Mentzer et al. (2023), arXiv 2309.15505"

    def __init__(self, channels: int, config: Section) -> None:
        assert isinstance(config, ResidualFSQConfig)
        module = library().ResidualFSQ(
            dim=channels, levels=list(config.levels), num_quantizers=config.quantizers
        )
        super().__init__(channels, config, module, math.prod(config.levels), config.quantizers)


class LFQ(Lookup):
    """Lookup-free quantization (arXiv 2310.05737): the sign of each of log2 N channels."""

    Config = LFQConfig
    reference = "Yu et al. (2023), arXiv 2310.05737"
    loss = "entropy"

    def __init__(self, channels: int, config: Section) -> None:
        assert isinstance(config, LFQConfig)
        module = library().LFQ(
            dim=channels, codebook_size=config.codebook_size, **_entropy_arguments(config)
        )
        super().__init__(channels, config, module, config.codebook_size)


class ResidualLFQ(Lookup):
    """LFQ of what the quantizers before left over, at half the scale each."""

    Config = ResidualLFQConfig
    reference = "Yu et al. (2023), arXiv 2310.05737"
    loss = "entropy"

    def __init__(self, channels: int, config: Section) -> None:
        assert isinstance(config, ResidualLFQConfig)
        module = library().ResidualLFQ(
            dim=channels,
            codebook_size=config.codebook_size,
            num_quantizers=config.quantizers,
            **_entropy_arguments(config),
        )
        super().__init__(channels, config, module, config.codebook_size, config.quantizers)


def _entropy_arguments(config: EntropyOptions) -> dict[str, float]:
    return {
        "entropy_loss_weight": config.entropy_weight,
        "diversity_gamma": config.diversity,
        "commitment_loss_weight": config.commitment_weight,
        "frac_per_sample_entropy": config.entropy_share,
    }
