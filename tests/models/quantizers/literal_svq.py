"""SVQ as published, step by step: the reference that the folded form is held to.

Loaded by path, from the tests and from benchmarks/svq.py.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from weathersvq.models.quantizers.base import Quantized
from weathersvq.models.quantizers.svq import SVQ


def literal_weights(svq: SVQ, tokens: Tensor) -> Tensor:
    """Regression weights W (..., N) of latent vectors (..., D), written out."""
    if svq.config.variant == "one_layer":
        return functional.linear(tokens, svq.regress.weight, svq.regress.bias)
    first = svq.project[0]
    hidden = functional.relu(functional.linear(tokens, first.weight, first.bias))
    weights = functional.linear(hidden, svq.regress.weight, svq.regress.bias)
    return functional.relu(weights) if svq.config.variant == "post_relu" else weights


class LiteralSVQ(SVQ):
    """Makes all the weights W of all tokens and multiplies them with the codebook."""

    def forward(self, z: Tensor) -> Quantized:
        weights = literal_weights(self, z.permute(0, 1, 3, 4, 2))
        return Quantized((weights @ self.codebook).permute(0, 1, 4, 2, 3))
