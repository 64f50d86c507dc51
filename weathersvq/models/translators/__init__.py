"""The translators that a config can choose; a new one is one file and one entry here."""

from __future__ import annotations

from weathersvq.models.translators.base import Translator
from weathersvq.models.translators.gsta import GSTA

TRANSLATORS: tuple[type[Translator], ...] = (GSTA,)
