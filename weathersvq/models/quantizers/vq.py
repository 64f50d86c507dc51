"""Vector quantization: each latent vector, or each part of it, replaced by the nearest code.

Defaults are the published settings (arXiv 2312.03406, Table 11 and its code); with
`codebook_size: 1024` they are those of the comparison at the same size (Table 13). Codebooks learn
by moving averages of the vectors that took each code, not by gradients, so they are buffers.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import nn

from weathersvq.errors import InputError
from weathersvq.models.quantizers.lookup import Lookup, library
from weathersvq.schema import Section


class CodebookOptions(Section):
    """How codebooks learn (defaults: the library's)."""

    decay: float = Field(0.8, ge=0, lt=1, description="of the moving averages that codes are")
    commitment_weight: float = Field(
        1.0, ge=0, description="weight of the loss that draws latent vectors to their codes"
    )
    dead_code_threshold: float = Field(
        0.0,
        ge=0,
        description="codes taken less often than this, on average, are replaced by latent vectors "
        "of the batch; 0: never",
    )
    rotation_trick: bool = Field(
        False,
        description="gradients turned and scaled as code and vector are (arXiv 2410.06424), newer "
        "than the paper, instead of straight through",
    )


class ResidualOptions(CodebookOptions):
    """What residual kinds have in common."""

    codebook_size: int = Field(1024, ge=1, description="N, number of codes")
    quantizers: int = Field(
        8, ge=1, description="number of quantizers, each for what those before it left over"
    )
    shared_codebook: bool = Field(True, description="whether all quantizers use one codebook")


class VQConfig(CodebookOptions):
    """Options of VQ (defaults: the paper's; Table 13 has 1024 codes)."""

    kind: Literal["vq"] = "vq"
    codebook_size: int = Field(512, ge=1, description="N, number of codes")


class ResidualVQConfig(ResidualOptions):
    """Options of residual VQ (defaults: the paper's, also in Table 13)."""

    kind: Literal["residual_vq"] = "residual_vq"


class GroupedResidualVQConfig(ResidualOptions):
    """Options of grouped residual VQ (defaults: the paper's, also in Table 13)."""

    kind: Literal["grouped_residual_vq"] = "grouped_residual_vq"
    groups: int = Field(
        2, ge=1, description="parts of the channels, each with residual VQ and codebook of its own"
    )


class MultiHeadedVQConfig(CodebookOptions):
    """Options of multi-headed VQ (defaults: the paper's, also in Table 13)."""

    kind: Literal["multi_headed_vq"] = "multi_headed_vq"
    codebook_size: int = Field(1024, ge=1, description="N, number of codes")
    heads: int = Field(8, ge=1, description="codes that a latent vector is made of")
    codebook_dim: int | None = Field(
        None,
        ge=1,
        description="length of a code, to which the latent vector is projected for each head; "
        "none: as many as latent channels",
    )
    separate_codebooks: bool = Field(False, description="a codebook for each head")


class StochasticResidualVQConfig(ResidualOptions):
    """Options of residual VQ with stochastic codes (defaults: the paper's, also in Table 13)."""

    kind: Literal["residual_vq_stochastic"] = "residual_vq_stochastic"
    temperature: float = Field(
        0.1,
        gt=0,
        description="of drawing codes by their distance in training; the lower, the nearer. A "
        "forecast always takes the nearest",
    )


class VQ(Lookup):
    """The nearest code (arXiv 1711.00937)."""

    Config = VQConfig
    reference = "van den Oord et al. (2017), arXiv 1711.00937"

    def __init__(self, channels: int, config: Section) -> None:
        assert isinstance(config, VQConfig)
        module = library().VectorQuantize(
            channels, config.codebook_size, **_codebook_arguments(config)
        )
        super().__init__(channels, config, module, config.codebook_size)


class MultiHeadedVQ(Lookup):
    """A code for each of several projections of the vector; their codes are projected back."""

    Config = MultiHeadedVQConfig
    reference = "Mama et al. (2021), NWT: Towards natural audio-to-video generation"

    def __init__(self, channels: int, config: Section) -> None:
        assert isinstance(config, MultiHeadedVQConfig)
        module = library().VectorQuantize(
            channels,
            config.codebook_size,
            codebook_dim=config.codebook_dim or channels,
            heads=config.heads,
            separate_codebook_per_head=config.separate_codebooks,
            **_codebook_arguments(config),
        )
        codebooks = config.heads if config.separate_codebooks else 1
        super().__init__(channels, config, module, config.codebook_size, codebooks)


class ResidualVQ(Lookup):
    """The nearest code, then the nearest to what it left over, and so on (arXiv 2107.03312).

    Each quantizer passes the whole gradient on, so that latent vectors get it `quantizers` times:
    so the library has it.
    """

    Config = ResidualVQConfig
    reference = "Zeghidour et al. (2021), arXiv 2107.03312"

    def __init__(self, channels: int, config: Section) -> None:
        assert isinstance(config, ResidualVQConfig)
        module = _residual(channels, config)
        super().__init__(channels, config, module, config.codebook_size, _codebooks(config))


class StochasticResidualVQ(Lookup):
    """Residual VQ that draws codes by their distance in training (arXiv 2203.01941)."""

    Config = StochasticResidualVQConfig
    reference = "Lee et al. (2022), arXiv 2203.01941"

    def __init__(self, channels: int, config: Section) -> None:
        assert isinstance(config, StochasticResidualVQConfig)
        module = _residual(
            channels,
            config,
            stochastic_sample_codes=True,
            sample_codebook_temp=config.temperature,
        )
        super().__init__(channels, config, module, config.codebook_size, _codebooks(config))


class GroupedResidualVQ(Lookup):
    """Residual VQ of each of several groups of channels (arXiv 2305.02765).

    Raises:
        InputError: groups that do not divide the channels.
    """

    Config = GroupedResidualVQConfig
    reference = "Yang et al. (2023), arXiv 2305.02765"

    def __init__(self, channels: int, config: Section) -> None:
        assert isinstance(config, GroupedResidualVQConfig)
        if channels % config.groups:
            raise InputError(
                f"groups: {config.groups} cannot share {channels} latent channels evenly; give "
                "groups that divide hid_spatial"
            )
        module = library().GroupedResidualVQ(
            dim=channels, groups=config.groups, **_residual_arguments(config)
        )
        for group in module.rvqs:
            _own_once(group)
        codebooks = config.groups * _codebooks(config)
        super().__init__(channels, config, module, config.codebook_size, codebooks)


def _codebook_arguments(config: CodebookOptions) -> dict[str, Any]:
    return {
        "decay": config.decay,
        "commitment_weight": config.commitment_weight,
        "threshold_ema_dead_code": config.dead_code_threshold,
        "rotation_trick": config.rotation_trick,
    }


def _residual_arguments(config: ResidualOptions) -> dict[str, Any]:
    return {
        "num_quantizers": config.quantizers,
        "codebook_size": config.codebook_size,
        "shared_codebook": config.shared_codebook,
        **_codebook_arguments(config),
    }


def _residual(channels: int, config: ResidualOptions, **more: Any) -> nn.Module:
    module = library().ResidualVQ(dim=channels, **_residual_arguments(config), **more)
    _own_once(module)
    return module


def _codebooks(config: ResidualOptions) -> int:
    return 1 if config.shared_codebook else config.quantizers


def _own_once(residual: nn.Module) -> None:
    """Let only the first quantizer own a codebook that all use.

    It would stand in the state as often as there are quantizers, which a weights file refuses.
    """
    first, *others = residual.layers  # type: ignore[misc]
    for layer in others:
        if layer._codebook is first._codebook:
            del layer._codebook
            # As a plain attribute, which is not one of its submodules.
            object.__setattr__(layer, "_codebook", first._codebook)
