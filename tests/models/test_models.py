from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from weathersvq.models import MODELS, build_model, validate_model_config
from weathersvq.models.forecaster import Shape
from weathersvq.models.quantizers import QUANTIZERS
from weathersvq.models.simvp import SimVPConfig
from weathersvq.models.translators import TRANSLATORS
from weathersvq.schema import Section, kind_of

SMALL = {
    "simvp": {"hid_spatial": 4, "hid_temporal": 8, "depth_temporal": 2},
    "convlstm": {"hidden": 4, "depth": 2},
    "predrnn": {"hidden": 4, "depth": 2},
    "predrnnpp": {"hidden": 4, "depth": 2},
    "predrnnv2": {"hidden": 4, "depth": 2},
    "mim": {"hidden": 4, "depth": 2},
    "e3dlstm": {"hidden": 4, "depth": 2},
}


@pytest.mark.parametrize("model", MODELS, ids=lambda each: each.__name__)
def test_every_model_has_the_same_face(model):
    kind = kind_of(model.Config)
    config = validate_model_config({"kind": kind, **SMALL.get(kind, {})})
    forecaster = build_model(config, Shape(2, 5, 3, 3, 8, 12, longitude_wraps=True))
    assert type(forecaster) is model
    y, losses = forecaster.forward_with_losses(torch.randn(2, 2, 3, 8, 12))
    assert y.shape == (2, 5, 3, 8, 12)
    assert all(loss.shape == () for loss in losses.values())


@pytest.mark.parametrize(
    "part", [*MODELS, *TRANSLATORS, *QUANTIZERS], ids=lambda each: each.__name__
)
def test_every_option_is_described(part):
    for name, field in part.Config.model_fields.items():
        assert name == "kind" or field.description, name
    assert part.Config.__doc__ != Section.__doc__


@pytest.mark.parametrize("quantizer", [kind_of(each.Config) for each in QUANTIZERS])
@pytest.mark.parametrize("translator", [kind_of(each.Config) for each in TRANSLATORS])
def test_configs_go_there_and_back(translator, quantizer):
    document = {"kind": "simvp", "translator": translator, "quantizer": {"kind": quantizer}}
    config = validate_model_config(document)
    assert (config.translator.kind, config.quantizer.kind) == (translator, quantizer)
    plain = config.model_dump(mode="json")
    assert set(plain["translator"]) == set(type(config.translator).model_fields)
    assert validate_model_config(plain) == config
    assert validate_model_config(config) is config


@pytest.mark.parametrize(
    ("options", "place", "message"),
    [
        ({"hid_spatail": 4}, ("hid_spatail",), "did you mean 'hid_spatial'"),
        ({"hid_spatial": 5}, ("hid_spatial",), "multiple of 2"),
        ({"translator": "gtsa"}, ("translator",), "unknown translator 'gtsa'; did you mean 'gsta'"),
        ({"quantizer": {"kind": "svq", "n": 3}}, ("quantizer", "n"), "it has codebook_size"),
        (
            {"quantizer": {"kind": "svq", "frozen": "all"}},
            ("quantizer", "frozen"),
            "'none', 'codebook'",
        ),
    ],
)
def test_mistakes_name_their_place(options, place, message):
    with pytest.raises(ValidationError, match=message) as caught:
        validate_model_config({"kind": "simvp", **options})
    assert caught.value.errors()[0]["loc"] == place


def test_unknown_model():
    with pytest.raises(ValueError, match="unknown model 'simvpp'; did you mean 'simvp'"):
        validate_model_config("simvpp")


def test_build_needs_a_model_section():
    with pytest.raises(TypeError, match="Section is not"):
        build_model(Section(), Shape(1, 1, 1, 1, 4, 4))


def test_default_is_the_paper_without_svq():
    assert validate_model_config("simvp") == SimVPConfig()
