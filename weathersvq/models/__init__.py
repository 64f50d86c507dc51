"""The models that a config can choose; a new one is one file and one entry here."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny

from weathersvq.models.baselines.autoregression import Autoregression
from weathersvq.models.baselines.climatology import Climatology
from weathersvq.models.baselines.convlstm import ConvLSTM
from weathersvq.models.baselines.dmvfn import DMVFN
from weathersvq.models.baselines.e3dlstm import E3DLSTM
from weathersvq.models.baselines.mau import MAU
from weathersvq.models.baselines.mim import MIM
from weathersvq.models.baselines.persistence import Persistence
from weathersvq.models.baselines.phydnet import PhyDNet
from weathersvq.models.baselines.prednet import PredNet
from weathersvq.models.baselines.predrnn import PredRNN
from weathersvq.models.baselines.predrnnpp import PredRNNpp
from weathersvq.models.baselines.predrnnv2 import PredRNNv2
from weathersvq.models.forecaster import Forecaster, Shape
from weathersvq.models.simvp import SimVP
from weathersvq.schema import Section, choose

MODELS: tuple[type[Forecaster], ...] = (
    SimVP,
    ConvLSTM,
    PredRNN,
    PredRNNpp,
    PredRNNv2,
    MIM,
    E3DLSTM,
    MAU,
    PhyDNet,
    PredNet,
    DMVFN,
    Persistence,
    Climatology,
    Autoregression,
)


def validate_model_config(value: object) -> Section:
    """The model section of a config: a kind's name, a mapping of `kind` and options, or a section.

    Raises:
        ValueError: unknown kind (with near misses) or options (with those that exist);
            a pydantic ValidationError where single options are wrong.
    """
    return choose("model", [model.Config for model in MODELS], value)


ModelConfig = Annotated[SerializeAsAny[Section], BeforeValidator(validate_model_config)]


def build_model(config: Section, shape: Shape) -> Forecaster:
    """A model with fresh weights, drawn from torch's global generator.

    Args:
        config: section of one of `MODELS`.
        shape: sizes of inputs and outputs.

    Raises:
        InputError: sizes that cannot work with these options.
    """
    for model in MODELS:
        if isinstance(config, model.Config):
            return model(config, shape)
    raise TypeError(f"{type(config).__name__} is not the config of a model")
