"""The translators that a config can choose; a new one is one file and one entry here."""

from __future__ import annotations

from weathersvq.models.translators.base import Translator
from weathersvq.models.translators.convmixer import ConvMixer
from weathersvq.models.translators.convnext import ConvNeXt
from weathersvq.models.translators.gsta import GSTA
from weathersvq.models.translators.hornet import HorNet
from weathersvq.models.translators.incepu import IncepU
from weathersvq.models.translators.mlp_mixer import MLPMixer
from weathersvq.models.translators.moganet import MogaNet
from weathersvq.models.translators.poolformer import PoolFormer
from weathersvq.models.translators.swin import Swin
from weathersvq.models.translators.tau import TAU
from weathersvq.models.translators.uniformer import UniFormer
from weathersvq.models.translators.van import VAN
from weathersvq.models.translators.vit import ViT

# In the order of the paper's Table 3.
TRANSLATORS: tuple[type[Translator], ...] = (
    GSTA,
    IncepU,
    ConvMixer,
    ConvNeXt,
    HorNet,
    MogaNet,
    ViT,
    Swin,
    UniFormer,
    PoolFormer,
    VAN,
    MLPMixer,
    TAU,
)
