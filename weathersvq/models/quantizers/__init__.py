"""The quantizers that a config can choose; a new one is one file and one entry here."""

from __future__ import annotations

from weathersvq.models.quantizers.base import Quantizer
from weathersvq.models.quantizers.identity import Identity
from weathersvq.models.quantizers.svq import SVQ

QUANTIZERS: tuple[type[Quantizer], ...] = (Identity, SVQ)
