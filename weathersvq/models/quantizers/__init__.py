"""The quantizers that a config can choose; a new one is one file and one entry here."""

from __future__ import annotations

from weathersvq.models.quantizers.base import Quantizer
from weathersvq.models.quantizers.finite import LFQ, ResidualFSQ, ResidualLFQ
from weathersvq.models.quantizers.identity import Identity
from weathersvq.models.quantizers.lista import SVQRaw
from weathersvq.models.quantizers.mlp import PointwiseMLP
from weathersvq.models.quantizers.svq import SVQ
from weathersvq.models.quantizers.vq import (
    VQ,
    GroupedResidualVQ,
    MultiHeadedVQ,
    ResidualVQ,
    StochasticResidualVQ,
)

# In the order of the paper's Table 4, then the control.
QUANTIZERS: tuple[type[Quantizer], ...] = (
    Identity,
    VQ,
    ResidualVQ,
    GroupedResidualVQ,
    MultiHeadedVQ,
    StochasticResidualVQ,
    ResidualFSQ,
    LFQ,
    ResidualLFQ,
    SVQRaw,
    SVQ,
    PointwiseMLP,
)
