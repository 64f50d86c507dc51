"""SVQ, sparse-regression vector quantization (arXiv 2312.03406): exact, at next to no cost.

A latent vector z becomes W M: regression weights W (N) from a small MLP times a codebook M (N x D).
Nothing nonlinear stands between the MLP's last layer and M, so the two are multiplied with each
other first ("folded"), and no vector ever meets the N weights:

    W M = (relu(z L1' + b1) L2' + b2) M = relu(z L1' + b1) (L2' M) + b2 M,    L2' M is only K x D.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from weathersvq.models.layers import full_precision
from weathersvq.models.quantizers.base import Quantized, Quantizer
from weathersvq.models.quantizers.usage import diagnose_weights
from weathersvq.schema import Section

SPARSITY = 0.9
# Weights (tokens x N) that the post-ReLU variant holds at a time: 256 MiB as float32.
WEIGHTS_AT_A_TIME = 2**26

CodebookInit = Literal[
    "kaiming_uniform", "xavier", "sparse", "trunc_normal", "orthogonal", "normal"
]


class SVQConfig(Section):
    """Options of SVQ (defaults: the paper's for weather)."""

    kind: Literal["svq"] = "svq"
    codebook_size: int = Field(10_000, ge=1, description="N, number of codes")
    hidden: int = Field(
        128, ge=1, description="K, width between the projection's two layers; at most N is used"
    )
    variant: Literal["two_layer", "one_layer", "bucket", "post_relu"] = Field(
        "two_layer",
        description="projection: two layers with a ReLU between; one layer; two layers with K = N; "
        "two layers with a second ReLU on the weights (slow: it cannot be folded)",
    )
    codebook_init: CodebookInit = Field(
        "kaiming_uniform", description="distribution that the codebook is drawn from"
    )
    frozen: Literal["none", "codebook", "projection", "both"] = Field(
        "none", description="what keeps its first values in training"
    )


@dataclass(frozen=True)
class Folded:
    """The layers behind the last nonlinearity as one.

    Attributes:
        weight: (D, K); (D, D) for the one-layer variant.
        bias: (D,).
    """

    weight: Tensor
    bias: Tensor


def draw_codebook(size: int, channels: int, init: CodebookInit) -> Tensor:
    """A codebook (N, D) with the settings of the published code.

    - `kaiming_uniform`: within +-sqrt(6 / D) (fan-in D, gain sqrt(2)).
    - `xavier`: uniform within +-sqrt(2) sqrt(6 / (N + D)) (gain of a ReLU).
    - `sparse`: in each column 90% zeros, the rest normal with standard deviation 0.01.
    - `trunc_normal`: standard normal, redrawn outside of +-2.
    - `orthogonal`: orthonormal columns (rows, where N < D).
    - `normal`: standard normal.
    """
    codebook = torch.empty(size, channels)
    if init == "kaiming_uniform":
        nn.init.kaiming_uniform_(codebook)
    elif init == "xavier":
        nn.init.xavier_uniform_(codebook, gain=math.sqrt(2.0))
    elif init == "sparse":
        nn.init.sparse_(codebook, sparsity=SPARSITY, std=0.01)
    elif init == "trunc_normal":
        nn.init.trunc_normal_(codebook, std=1.0, a=-2.0, b=2.0)
    elif init == "orthogonal":
        nn.init.orthogonal_(codebook)
    else:
        nn.init.normal_(codebook)
    return codebook


class SVQ(Quantizer):
    """Latent vectors as sparse combinations of codes.

    Two-layer and bucket variants cost D x K + K x D a token, the one-layer variant D x D, all
    whatever N. The post-ReLU variant has its ReLU between weights and codebook: it makes the
    weights of all tokens, in parts that are made anew in the backward pass.

    Attributes:
        project: D -> K, followed by a ReLU; identity in the one-layer variant.
        regress: K -> N, gives the regression weights.
        codebook: (N, D).
    """

    Config = SVQConfig
    reference = "arXiv 2312.03406"

    def __init__(self, channels: int, config: Section) -> None:
        super().__init__(channels, config)
        assert isinstance(config, SVQConfig)
        self.config = config
        size = config.codebook_size
        if config.variant == "one_layer":
            hidden = channels
            self.project: nn.Module = nn.Identity()
        else:
            hidden = size if config.variant == "bucket" else min(config.hidden, size)
            self.project = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU())
        self.regress = nn.Linear(hidden, size)
        self.codebook = nn.Parameter(
            draw_codebook(size, channels, config.codebook_init),
            requires_grad=config.frozen not in ("codebook", "both"),
        )
        if config.frozen in ("projection", "both"):
            for part in (self.project, self.regress):
                part.requires_grad_(False)
        self._cached: tuple[Folded, list[tuple[Tensor, int]]] | None = None

    def forward(self, z: Tensor) -> Quantized:
        """(B, T, D, H, W) -> quantized maps of the same shape; no losses, no codes."""
        tokens = z.movedim(2, -1)
        if self.config.variant == "post_relu":
            quantized = self._quantize_unfolded(tokens)
        else:
            folded = self._folded()
            quantized = functional.linear(self.project(tokens), folded.weight, folded.bias)
        return Quantized(values=quantized.movedim(-1, 2))

    def fold(self) -> Folded:
        """Multiply the last layer with the codebook, in the parameters' precision.

        Gradients flow through to both.

        Raises:
            ValueError: the post-ReLU variant, which cannot be folded.
        """
        if self.config.variant == "post_relu":
            raise ValueError("the post_relu variant of SVQ cannot be folded")
        # Sums over N = 10,000 codes: not in the reduced precision of autocast.
        with full_precision(self.codebook.device):
            codes = self.codebook.t()
            return Folded(weight=codes @ self.regress.weight, bias=codes @ self.regress.bias)

    @torch.no_grad()
    def for_inference(self) -> Quantizer:
        """Folded once and for all; the post-ReLU variant, which cannot be folded, as it is."""
        return self if self.config.variant == "post_relu" else FoldedSVQ(self)

    @torch.no_grad()
    def weights(self, z: Tensor, chunk: int = 4096) -> Iterator[Tensor]:
        """The regression weights W, which the forward pass never makes, a part at a time.

        Args:
            z: (B, T, D, H, W) what the quantizer is given.
            chunk: tokens a part.

        Yields:
            (n, N) weights of the next n <= `chunk` of the B*T*H*W tokens, without gradients.
        """
        for part in z.movedim(2, -1).flatten(0, -2).split(chunk):
            yield self._weights_of(part)

    def diagnose(self, z: Tensor) -> dict[str, Tensor]:
        """Perplexity and usage by thresholds, see `diagnose_weights`."""
        return diagnose_weights(lambda: self.weights(z))

    def _weights_of(self, tokens: Tensor) -> Tensor:
        """(..., D) -> (..., N)."""
        weights = self.regress(self.project(tokens))
        return functional.relu(weights) if self.config.variant == "post_relu" else weights

    def _quantize_unfolded(self, tokens: Tensor) -> Tensor:
        """(..., D) -> (..., D), through the weights."""

        def quantize(part: Tensor) -> Tensor:
            return self._weights_of(part) @ self.codebook

        parts = tokens.flatten(0, -2).split(max(1, WEIGHTS_AT_A_TIME // self.config.codebook_size))
        if len(parts) == 1:
            return quantize(tokens)
        if torch.is_grad_enabled():
            done = [checkpoint(quantize, part, use_reentrant=False) for part in parts]
        else:
            done = [quantize(part) for part in parts]
        return torch.cat(done).view(tokens.shape)

    def _folded(self) -> Folded:
        """The fold: from the cache where nothing is learned, if the parameters are still the same.

        The cache holds aliases of the parameters, so their memory cannot be taken by others, with
        the count of changes in place that torch keeps for each (optimizer steps, loading ...).
        """
        parameters = (self.regress.weight, self.regress.bias, self.codebook)
        if (
            self.training
            or torch.is_grad_enabled()
            or torch.compiler.is_compiling()
            or any(parameter.is_inference() for parameter in parameters)
        ):
            return self.fold()
        if self._cached is not None:
            folded, sources = self._cached
            if all(
                parameter.data_ptr() == alias.data_ptr() and parameter._version == version
                for parameter, (alias, version) in zip(parameters, sources, strict=True)
            ):
                return folded
        folded = self.fold()
        self._cached = (folded, [(each.detach(), each._version) for each in parameters])
        return folded

    def train(self, mode: bool = True) -> SVQ:
        self._cached = None
        return super().train(mode)

    def extra_repr(self) -> str:
        config = self.config
        return f"variant={config.variant}, codes={config.codebook_size}, frozen={config.frozen}"


class FoldedSVQ(Quantizer):
    """SVQ for forecasts: two plain layers (one, in the one-layer variant), and no codes any more.

    Args:
        quantizer: whose present weights are folded.
    """

    Config = SVQConfig
    reference = SVQ.reference

    def __init__(self, quantizer: SVQ) -> None:
        folded = quantizer.fold()
        channels, hidden = folded.weight.shape
        super().__init__(channels, quantizer.config)
        self.project = quantizer.project
        self.combine = nn.Linear(hidden, channels)
        self.combine.load_state_dict({"weight": folded.weight, "bias": folded.bias})

    def forward(self, z: Tensor) -> Quantized:
        """(B, T, D, H, W) -> quantized maps of the same shape."""
        return Quantized(values=self.combine(self.project(z.movedim(2, -1))).movedim(-1, 2))
