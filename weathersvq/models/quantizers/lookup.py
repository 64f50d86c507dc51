"""What quantizers that look codes up have in common; the lookups are vector-quantize-pytorch's.

A kind of lookup is a class with a `Config` and a constructor that makes the library's module.
"""

from __future__ import annotations

from importlib import import_module
from itertools import chain
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from weathersvq.errors import InputError
from weathersvq.models.layers import full_precision
from weathersvq.models.quantizers.base import Quantized, Quantizer
from weathersvq.models.quantizers.usage import count_codes, diagnose_codes
from weathersvq.schema import Section


def library() -> Any:
    """The package vector_quantize_pytorch, imported where it is needed: that takes a second.

    Raises:
        InputError: it is not installed.
    """
    try:
        return import_module("vector_quantize_pytorch")
    except ModuleNotFoundError as error:
        if error.name != "vector_quantize_pytorch":
            raise
        raise InputError(
            "quantizers that look codes up need vector-quantize-pytorch, which is not installed; "
            "pip install 'weathersvq[vq]'"
        ) from error


class Lookup(Quantizer):
    """Latent vectors replaced by what they are nearest to, by one of the library's modules.

    In the backward pass the gradient goes straight through to the latent vectors.

    Args:
        channels: D.
        config: options.
        module: the library's module, (B, n, D) -> values (B, n, D), codes, losses if it has any.
        size: N, codes of a codebook.
        codebooks: number of codebooks; heads that share one stand together.
    """

    # Name of the auxiliary losses.
    loss: ClassVar[str] = "commitment"

    def __init__(
        self, channels: int, config: Section, module: nn.Module, size: int, codebooks: int = 1
    ) -> None:
        super().__init__(channels, config)
        self.module = module
        self.size = size
        self.codebooks = codebooks

    def forward(self, z: Tensor) -> Quantized:
        """(B, T, D, H, W) -> quantized maps, codes, perplexity; in training mode losses too.

        In training mode codebooks that learn by averaging move towards `z`, gradients or not.
        """
        values, codes, losses = self._look_up(z)
        counts = count_codes(codes, self.size)
        return Quantized(values, losses, codes, diagnose_codes(counts, self.codebooks))

    def for_inference(self) -> Quantizer:
        """Itself; that codebooks have their first values is settled, and not asked at every call.

        A flag in a tensor would keep the forecast from being exported.
        """
        for part in self.module.modules():
            if "initted" in part._buffers and bool(part.get_buffer("initted")):
                del part._buffers["initted"]
                part.initted = True  # type: ignore[assignment]
        return self

    @torch.no_grad()
    def diagnose(self, z: Tensor) -> dict[str, Tensor]:
        """Perplexity and usage over all of `z`, sample by sample; no codebook learns from it."""
        training = self.training
        self.eval()
        try:
            counts = sum(count_codes(self._look_up(sample)[1], self.size) for sample in z.split(1))
        finally:
            self.train(training)
        assert isinstance(counts, Tensor)
        return diagnose_codes(counts, self.codebooks)

    def _look_up(self, z: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """(B, T, D, H, W) -> values of that shape, codes (B, T, H, W, heads), losses."""
        tokens = z.movedim(2, -1)
        # In full precision: the nearest of a thousand codes is a matter of small differences.
        states = chain(self.parameters(), self.buffers())
        precision = next(state.dtype for state in states if state.is_floating_point())
        with full_precision(z.device):
            values, codes, *losses = self.module(tokens.flatten(1, 3).to(precision))
        if codes.ndim == 4:  # (groups, B, n, quantizers)
            codes = codes.movedim(0, -2).flatten(-2)
        return (
            values.to(z.dtype).view(tokens.shape).movedim(-1, 2),
            codes.reshape(*tokens.shape[:-1], -1),
            # As published, the mean over quantizers, each loss already weighted.
            {self.loss: losses[0].mean()} if losses and self.training else {},
        )
