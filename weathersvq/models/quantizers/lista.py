"""SVQ-raw: sparse coding by LISTA, learned iterative shrinkage (Gregor & LeCun, 2010).

What SVQ stands in for (arXiv 2312.03406), as in SC-VAE (arXiv 2303.16666). Each latent vector z
becomes W M, where the weights W (N) come from a fixed number of steps towards the least

    1/2 |z - W M|^2 + lambda |W|_1        (Eq. 1 of the paper, weights of either sign).

A step multiplies the weights with a learned N x N matrix: time and memory grow with N squared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from weathersvq.errors import InputError
from weathersvq.models.quantizers.base import Quantized, Quantizer
from weathersvq.models.quantizers.svq import WEIGHTS_AT_A_TIME, CodebookInit, draw_codebook
from weathersvq.models.quantizers.usage import diagnose_weights
from weathersvq.schema import Section

# The matrix itself, its gradient and Adam's two averages, each of 4 bytes.
BYTES_AN_ENTRY = 4 * 4


class SVQRawConfig(Section):
    """Options of SVQ-raw (N: that of the paper's B.3; iterations: SC-VAE's; lambda: not stated)."""

    kind: Literal["svq_raw"] = "svq_raw"
    codebook_size: int = Field(1024, ge=1, description="N, number of codes")
    iterations: int = Field(16, ge=0, description="steps after the first shrinkage")
    sparsity: float = Field(
        0.1, ge=0, description="lambda, what the absolute value of a weight costs"
    )
    sparsity_weight: float = Field(
        1.0, ge=0, description="weight of the loss lambda |W|_1 / D, a latent vector's mean"
    )
    latent_weight: float = Field(
        1.0, ge=0, description="weight of the loss |z - W M|^2 / 2 D, a latent vector's mean"
    )
    codebook_init: CodebookInit = Field(
        "kaiming_uniform", description="distribution that the codebook is drawn from"
    )
    memory_limit_gb: float = Field(
        4.0, gt=0, description="most memory that training may take for the N x N matrix, in 1e9 B"
    )

    @model_validator(mode="after")
    def _fits(self) -> SVQRawConfig:
        size, limit = self.codebook_size, self.memory_limit_gb * 1e9
        if BYTES_AN_ENTRY * size**2 > limit:
            raise InputError(
                f"svq_raw with codebook_size: {size} needs {BYTES_AN_ENTRY * size**2 / 1e9:.1f} GB "
                f"to train its {size} x {size} matrix, more than memory_limit_gb: "
                f"{self.memory_limit_gb:g}; use at most {math.isqrt(int(limit) // BYTES_AN_ENTRY)} "
                "codes, raise memory_limit_gb, or use svq, which needs no such matrix"
            )
        return self


def soft_threshold(x: Tensor, threshold: Tensor) -> Tensor:
    """Move values towards 0 by the threshold, no further than 0: (..., N), (N) -> (..., N)."""
    return x.sign() * functional.relu(x.abs() - threshold)


class SVQRaw(Quantizer):
    """Latent vectors as sparse combinations of codes, the weights by learned shrinkage.

    It starts as ISTA for the codebook's first values: step length 1 / L, with L the largest
    eigenvalue of M M'. Weights are made for some tokens at a time, and anew in the backward pass.

    Attributes:
        codebook: M, (N, D).
        encode: W_e, (N, D), starts as M / L.
        inhibit: S, (N, N), starts as I - M M' / L.
        threshold: theta, (N), starts as lambda / L.
    """

    Config = SVQRawConfig
    reference = "Gregor and LeCun (2010); Xiao et al. (2023), arXiv 2303.16666"

    def __init__(self, channels: int, config: Section) -> None:
        super().__init__(channels, config)
        assert isinstance(config, SVQRawConfig)
        self.config = config
        size = config.codebook_size
        codebook = draw_codebook(size, channels, config.codebook_init)
        # M'M has the same largest eigenvalue as M M' and is only D x D.
        largest = torch.linalg.eigvalsh(codebook.t() @ codebook)[-1].clamp(min=1e-6)
        self.codebook = nn.Parameter(codebook)
        self.encode = nn.Parameter(codebook / largest)
        inhibit = codebook @ (codebook / -largest).t()
        inhibit.diagonal().add_(1)
        self.inhibit = nn.Parameter(inhibit)
        self.threshold = nn.Parameter(torch.full((size,), config.sparsity) / largest)

    def forward(self, z: Tensor) -> Quantized:
        """(B, T, D, H, W) -> quantized maps of the same shape; in training mode losses."""
        tokens = z.movedim(2, -1)
        parts = tokens.flatten(0, -2).split(self._tokens_at_a_time())
        if len(parts) == 1:
            done = [self._quantize(parts[0])]
        elif torch.is_grad_enabled():
            done = [checkpoint(self._quantize, part, use_reentrant=False) for part in parts]
        else:
            done = [self._quantize(part) for part in parts]
        values = torch.cat([each for each, _ in done]).view(tokens.shape).movedim(-1, 2)
        losses = {}
        if self.training:
            sparsity = torch.stack([total for _, total in done]).sum() / z.numel()
            losses = {
                "sparsity": self.config.sparsity_weight * self.config.sparsity * sparsity,
                "latent": self.config.latent_weight / 2 * functional.mse_loss(values, z),
            }
        return Quantized(values.to(z.dtype), losses)

    @torch.no_grad()
    def weights(self, z: Tensor) -> Iterator[Tensor]:
        """The regression weights W, a part at a time.

        Args:
            z: (B, T, D, H, W) what the quantizer is given.

        Yields:
            (n, N) weights of the next n of the B*T*H*W tokens, without gradients.
        """
        for part in z.movedim(2, -1).flatten(0, -2).split(self._tokens_at_a_time()):
            yield self._weights_of(part)

    def diagnose(self, z: Tensor) -> dict[str, Tensor]:
        """Perplexity and usage by thresholds, see `diagnose_weights`."""
        return diagnose_weights(lambda: self.weights(z))

    def _weights_of(self, tokens: Tensor) -> Tensor:
        """(n, D) -> (n, N)."""
        encoded = functional.linear(tokens, self.encode)
        weights = soft_threshold(encoded, self.threshold)
        for _ in range(self.config.iterations):
            weights = soft_threshold(
                encoded + functional.linear(weights, self.inhibit), self.threshold
            )
        return weights

    def _quantize(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(n, D) -> (n, D), and the sum of the absolute weights."""
        weights = self._weights_of(tokens)
        return weights @ self.codebook, weights.abs().sum()

    def _tokens_at_a_time(self) -> int:
        """As many as keep the weights of all steps, which the backward pass needs, bounded."""
        config = self.config
        return max(1, WEIGHTS_AT_A_TIME // (config.codebook_size * (config.iterations + 1)))

    def extra_repr(self) -> str:
        config = self.config
        return f"codes={config.codebook_size}, iterations={config.iterations}"
