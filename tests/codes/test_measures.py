"""What the codebook does: each figure against all weights at once, or derived by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from weathersvq.codes import measures as codes
from weathersvq.codes.measures import (
    EDGES,
    codebook_of,
    distribution_of,
    embed,
    latents_of,
    sample_vectors,
    weight_statistics,
)
from weathersvq.errors import InputError
from weathersvq.models import build_model
from weathersvq.models.baselines.convlstm import ConvLSTMConfig
from weathersvq.models.forecaster import Shape
from weathersvq.models.quantizers import QUANTIZERS
from weathersvq.models.quantizers.lista import SVQRaw
from weathersvq.models.quantizers.svq import SVQ
from weathersvq.models.simvp import SimVP, SimVPConfig

ROOT = Path(__file__).parents[2]
SHAPE = Shape(3, 3, 1, 1, 8, 8)
CHANNELS = 6


def make(seed: int = 0, **quantizer: Any) -> SimVP:
    torch.manual_seed(seed)
    config = SimVPConfig(
        hid_spatial=CHANNELS, hid_temporal=8, depth_temporal=1, quantizer=quantizer
    )
    return SimVP(config, SHAPE).eval()


def some_inputs(batch: int = 2) -> Tensor:
    return torch.randn(batch, *SHAPE.inputs, generator=torch.Generator().manual_seed(1))


WITH_WEIGHTS = [
    {"kind": "svq", "codebook_size": 40, "hidden": 12, "variant": variant}
    for variant in ("two_layer", "one_layer", "bucket", "post_relu")
] + [{"kind": "svq_raw", "codebook_size": 40, "sparsity": 0.001}]


def test_moments_by_hand() -> None:
    # Mean 1; distances -1, -1, -1, 3: squares sum to 12, fourth powers to 84.
    # Deviation sqrt(12 / 3) = 2; kurtosis (84 / 4) / (12 / 4)^2 - 3 = 21 / 9 - 3 = -2/3.
    found = distribution_of(np.array([[0, 0], [0, 4]], np.float32))
    assert found.count == 4
    assert (found.mean, found.deviation) == (1, 2)
    assert found.kurtosis == pytest.approx(-2 / 3)
    # Normalised: three of -0.5 and one of 1.5, in bins of width 0.05.
    middle = (EDGES[:-1] + EDGES[1:]) / 2
    for value, share in ((-0.5, 0.75), (1.5, 0.25)):
        near = np.abs(middle - value) < 0.05
        assert found.density[near].sum() * 0.05 == pytest.approx(share)
    assert found.outside == 0


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    degrees=st.floats(3, 30),
    shift=st.floats(-50, 50),
    piece=st.integers(100, 6000),
)
def test_the_distribution_is_that_of_all_values_whatever_the_pieces(
    seed: int, degrees: float, shift: float, piece: int
) -> None:
    drawn = np.random.default_rng(seed).standard_t(degrees, 5000) + shift
    values = drawn.astype(np.float32).reshape(50, 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codes, "PIECE", piece)
        found = distribution_of(values)
    exact = values.astype(np.float64).ravel()
    assert found.mean == pytest.approx(exact.mean(), abs=1e-5)
    assert found.deviation == pytest.approx(exact.std(ddof=1), rel=1e-4)
    assert found.kurtosis == pytest.approx(stats.kurtosis(exact), rel=1e-3, abs=1e-3)
    assert found.density.sum() * 0.05 + found.outside == pytest.approx(1)


@pytest.mark.parametrize("values", [np.ones(5), np.array([0, np.nan, 1])])
def test_values_without_a_distribution_are_refused(values: np.ndarray) -> None:
    with pytest.raises(InputError, match="train the model again"):
        distribution_of(values)


@pytest.mark.parametrize("quantizer", WITH_WEIGHTS, ids=lambda q: q.get("variant", q["kind"]))
def test_weights_in_parts_say_what_all_weights_say(
    quantizer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, inputs = make(**quantizer), some_inputs()
    monkeypatch.setattr(codes, "PIECE", 40 * 7)
    found = weight_statistics(model, inputs)

    assert isinstance(model.quantizer, SVQ | SVQRaw)
    latent = model.encode(inputs)[0].detach()
    whole = torch.cat(list(model.quantizer.weights(latent))).double().numpy()
    assert (found.tokens, found.codes) == whole.shape == (2 * 3 * 4 * 4, 40)
    distribution = found.distribution
    assert distribution.kurtosis == pytest.approx(stats.kurtosis(whole, axis=None), rel=1e-4)
    normalised = (whole - whole.mean()) / whole.std(ddof=1)
    inside = np.histogram(normalised, EDGES)[0] / whole.size / np.diff(EDGES)
    # A value in the last digit of an edge may go to either side.
    assert np.abs(distribution.density - inside).sum() * 0.05 <= 4 / whole.size
    magnitude = np.sort(np.abs(whole).ravel())[::-1]
    assert found.near_zero == pytest.approx((magnitude < magnitude[0] / 100).mean(), abs=1e-3)
    needed = np.searchsorted(np.cumsum(magnitude), 0.99 * magnitude.sum()) + 1
    assert found.carriers == pytest.approx(needed / whole.size, abs=1e-3)
    own = model.quantizer.diagnose(latent)
    for threshold in (2, 3):
        assert found.perplexity[threshold] == pytest.approx(own[f"perplexity_{threshold}"].item())
        assert found.usage[threshold] == pytest.approx(own[f"usage_{threshold}"].item())


def test_sparsity_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(kind="svq", codebook_size=8)
    # 16 weights: 100, 100, -100, 0.5 and twelve zeros. Below 1: thirteen of them. 99 % of 300.5 is
    # 297.495: two whole large ones and 0.97495 of the third.
    weights = torch.zeros(2, 8)
    weights[0, :2], weights[1, 2], weights[1, 3] = 100, -100, 0.5
    monkeypatch.setattr(model.quantizer, "weights", lambda _: iter([weights[:1], weights[1:]]))
    found = weight_statistics(model, some_inputs())
    assert found.near_zero == 13 / 16
    assert found.carriers == pytest.approx(2.97495 / 16, abs=1e-5)
    # Mean 100.5 / 16 = 6.3; variance (30000.25 - 16 * 6.28^2) / 15 = 1958, deviation 44.2: three
    # codes are more than two deviations away, once each, and none is three away.
    assert found.usage == {2: 3 / 8, 3: 0}
    assert found.perplexity == pytest.approx({2: 3, 3: 0})


@pytest.mark.parametrize("kind", [each.Config.model_fields["kind"].default for each in QUANTIZERS])
def test_latents_are_what_the_quantizer_is_given_and_gives(kind: str) -> None:
    small = {} if kind in ("identity", "mlp", "residual_fsq") else {"codebook_size": 16}
    model, inputs = make(kind=kind, **small), some_inputs()
    model.train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    found = latents_of(model, inputs)
    assert found.before.shape == found.after.shape == (2, 3, CHANNELS, 4, 4)
    # Nothing has learned, and training goes on.
    assert model.training
    assert model.quantizer.training
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0)
    model.eval()
    before = model.encode(inputs)[0]
    np.testing.assert_allclose(found.before, before.detach(), atol=1e-6)
    np.testing.assert_allclose(found.after, model.quantizer(before).values.detach(), atol=1e-5)


def test_lookups_give_vectors_of_their_codebook() -> None:
    model = make(kind="vq", codebook_size=16)
    codebook = codebook_of(model)
    assert codebook.shape == (16, CHANNELS)
    after = sample_vectors(latents_of(model, some_inputs()).after, 1000)
    distance = np.abs(after[:, None] - codebook[None]).max(axis=2)
    assert distance.min(axis=1).max() < 1e-6


@pytest.mark.parametrize(
    ("quantizer", "number"),
    [
        ({"kind": "svq", "codebook_size": 40}, 40),
        ({"kind": "svq_raw", "codebook_size": 40}, 40),
        ({"kind": "residual_vq", "codebook_size": 16, "quantizers": 3}, 16),
        (
            {
                "kind": "residual_vq_stochastic",
                "codebook_size": 16,
                "quantizers": 3,
                "shared_codebook": False,
            },
            48,
        ),
    ],
)
def test_codebooks_lie_in_the_space_of_the_latent_vectors(
    quantizer: dict[str, Any], number: int
) -> None:
    codebook = codebook_of(make(**quantizer))
    assert codebook.shape == (number, CHANNELS)
    assert len(np.unique(codebook, axis=0)) == number


@pytest.mark.parametrize(
    "kind", ["identity", "mlp", "residual_fsq", "lfq", "multi_headed_vq", "grouped_residual_vq"]
)
def test_what_has_no_codes_among_latent_vectors_says_so(kind: str) -> None:
    small = {"codebook_size": 16} if "vq" in kind or kind == "lfq" else {}
    with pytest.raises(InputError, match=f"quantizer {kind} has no codes .* give a model with svq"):
        codebook_of(make(kind=kind, **small))


@pytest.mark.parametrize("kind", ["identity", "mlp", "vq"])
def test_what_has_no_weights_says_so(kind: str) -> None:
    with pytest.raises(InputError, match=f"quantizer {kind} has no regression weights; give"):
        weight_statistics(make(kind=kind), some_inputs())


def test_models_without_a_quantizer_say_so() -> None:
    model = build_model(ConvLSTMConfig(hidden=4), SHAPE)
    for ask in (codebook_of, lambda m: latents_of(m, some_inputs())):
        with pytest.raises(InputError, match="the model convlstm has no quantizer; give a simvp"):
            ask(model)


def test_the_same_seed_draws_the_same_tokens_on_both_sides() -> None:
    maps = np.arange(2 * 3 * 4 * 2 * 2, dtype=np.float32).reshape(2, 3, 4, 2, 2)
    drawn = sample_vectors(maps, 10, seed=3)
    assert drawn.shape == (10, 4)
    # Channels of a token are one map, four values, apart; tokens start in the first map of each.
    np.testing.assert_array_equal(np.diff(drawn, axis=1), 4)
    assert len(np.unique(drawn[:, 0])) == 10
    np.testing.assert_array_equal(sample_vectors(maps + 1000, 10, seed=3), drawn + 1000)
    assert not np.array_equal(sample_vectors(maps, 10, seed=4), drawn)
    assert sample_vectors(maps, 1000).shape == (24, 4)


def test_embedding_keeps_neighbours_together() -> None:
    # Two clusters of codes 20 apart, and vectors at the second one only.
    generator = np.random.default_rng(0)
    codebook = generator.normal(size=(60, 5)).astype(np.float32)
    codebook[30:, 0] += 20
    quantized = (codebook[30:] + 0.1).astype(np.float32)
    found = embed(codebook, quantized, perplexity=10, seed=2)
    assert found.codes.shape == (60, 2)
    assert found.quantized.shape == (30, 2)
    # Nearest in the plane is nearly always the code that the vector was made from.
    distance = np.linalg.norm(found.quantized[:, None] - found.codes[None], axis=2)
    assert (distance.argmin(axis=1) == np.arange(30, 60)).mean() > 0.8
    assert (distance.argmin(axis=1) >= 30).all()
    again = embed(codebook, quantized, perplexity=10, seed=2)
    np.testing.assert_array_equal(again.codes, found.codes)
    assert embed(codebook, quantized, most_codes=40, perplexity=10).codes.shape == (40, 2)


def test_copies_of_a_code_are_put_where_it_is() -> None:
    codebook = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    taken = np.array([3] * 20 + [7] * 5)
    found = embed(codebook, codebook[taken] * np.float32(1 + 1e-7), perplexity=10)
    np.testing.assert_array_equal(found.quantized, found.codes[taken])


def test_embeddings_that_cannot_be_made_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    with pytest.raises(InputError, match="needs 5 different points or more, not 4"):
        embed(vectors[:4], vectors[:4])
    # Few are enough: t-SNE is given a perplexity that suits them.
    assert embed(vectors[:5], vectors[:5]).codes.shape == (5, 2)
    with pytest.raises(InputError, match="length 3 and vectors of length 2"):
        embed(vectors, vectors[:, :2])
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(InputError, match=r"needs scikit-learn, .* 'weathersvq\[report\]'"):
        embed(vectors, vectors)


def test_weights_are_never_held() -> None:
    """Full grid, channels and codebook with fewer windows: W alone would take 737 MB."""
    code = """
import torch
from common import peak_memory_mib
from weathersvq.codes.measures import weight_statistics
from weathersvq.models.forecaster import Shape
from weathersvq.models.simvp import SimVP, SimVPConfig

torch.manual_seed(0)
config = SimVPConfig(depth_temporal=1, quantizer={"kind": "svq"})
model = SimVP(config, Shape(12, 12, 1, 1, 32, 64, True))
before = peak_memory_mib()
found = weight_statistics(model, torch.randn(3, *model.shape.inputs))
print(found.tokens, found.codes, before, peak_memory_mib())
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'benchmarks'}"},
    )  # fmt: skip
    tokens, number, before, peak = map(float, result.stdout.split())
    assert (tokens, number) == (18432, 10000)
    # Whatever the number of tokens; torch itself takes some 300 MiB of it.
    assert peak - before < 550
    assert peak < 1900
