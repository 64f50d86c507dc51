from __future__ import annotations

import copy
import importlib.util
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from weathersvq.models.quantizers import svq as svq_module
from weathersvq.models.quantizers.svq import SVQ, SVQConfig, draw_codebook

_spec = importlib.util.spec_from_file_location(
    "literal_svq", Path(__file__).with_name("literal_svq.py")
)
literal_svq = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(literal_svq)

VARIANTS = ("two_layer", "one_layer", "bucket", "post_relu")
FROZEN = ("none", "codebook", "projection", "both")
CHANNELS = 6


def make(dtype=torch.float64, seed=0, **options) -> SVQ:
    torch.manual_seed(seed)
    options = {"codebook_size": 40, "hidden": 12, **options}
    return SVQ(CHANNELS, SVQConfig(**options)).to(dtype)


def literal_of(svq: SVQ) -> SVQ:
    """The same parameters in the published form."""
    literal = literal_svq.LiteralSVQ(svq.codebook.shape[1], svq.config).to(svq.codebook.dtype)
    literal.load_state_dict(svq.state_dict())
    return literal


def latent(dtype=torch.float64, batch=2) -> Tensor:
    return torch.randn(batch, 3, CHANNELS, 4, 5, dtype=dtype)


def outputs_and_gradients(svq: SVQ, z: Tensor, direction: Tensor) -> dict[str, Tensor | None]:
    z = z.clone().requires_grad_()
    values = svq(z).values
    (values * direction).sum().backward()
    gradients = {name: parameter.grad for name, parameter in svq.named_parameters()}
    return {"values": values.detach(), "gradient of z": z.grad, **gradients}


def assert_same(folded: SVQ, z: Tensor, tolerance: float) -> None:
    direction = torch.randn_like(z)
    expected = outputs_and_gradients(literal_of(folded), z, direction)
    found = outputs_and_gradients(folded, z, direction)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if value is None:
            assert found[name] is None, name
        else:
            assert value.abs().max() > 0, name
            error = (found[name] - value).abs().max() / value.abs().max()
            assert error < tolerance, (name, float(error))


@pytest.mark.parametrize("frozen", FROZEN)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=["f64", "f32"]
)
def test_folded_equals_literal(variant, frozen, dtype, tolerance):
    svq = make(dtype, variant=variant, frozen=frozen)
    assert_same(svq, latent(dtype), tolerance)


@pytest.mark.parametrize("variant", ["two_layer", "one_layer"])
def test_folded_equals_literal_with_ten_thousand_codes(variant):
    torch.manual_seed(0)
    svq = SVQ(32, SVQConfig(variant=variant))
    assert_same(svq, torch.randn(1, 2, 32, 6, 8), 1e-5)


def test_post_relu_in_parts_equals_literal(monkeypatch):
    svq = make(variant="post_relu")
    # 7 tokens a part; 120 tokens: the last part is shorter.
    monkeypatch.setattr(svq_module, "WEIGHTS_AT_A_TIME", 7 * 40)
    assert_same(svq, latent(), 1e-10)
    z = latent()
    with torch.no_grad():
        torch.testing.assert_close(svq(z).values, literal_of(svq)(z).values)


@pytest.mark.parametrize("frozen", FROZEN)
@pytest.mark.parametrize("variant", VARIANTS)
def test_frozen_parts_do_not_learn(variant, frozen):
    svq = make(variant=variant, frozen=frozen)
    svq(latent().requires_grad_()).values.square().sum().backward()
    for name, parameter in svq.named_parameters():
        part = "codebook" if name == "codebook" else "projection"
        learns = frozen not in (part, "both")
        assert parameter.requires_grad == learns, name
        assert (parameter.grad is not None and bool(parameter.grad.any())) == learns, name


@pytest.mark.parametrize(
    ("options", "hidden"),
    [
        ({"codebook_size": 10}, 10),  # never wider than the codebook
        ({"codebook_size": 500}, 128),
        ({"codebook_size": 300, "variant": "bucket"}, 300),
        ({"codebook_size": 500, "variant": "one_layer"}, CHANNELS),
    ],
)
def test_hidden_width(options, hidden):
    svq = SVQ(CHANNELS, SVQConfig(**options))
    assert svq.regress.weight.shape == (options["codebook_size"], hidden)
    if options.get("variant") != "one_layer":
        assert svq.fold().weight.shape == (CHANNELS, hidden)


def test_post_relu_refuses_to_fold():
    with pytest.raises(ValueError, match="cannot be folded"):
        make(variant="post_relu").fold()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("chunk", [1, 50, 1000])
def test_weights_in_chunks(variant, chunk):
    svq, z = make(variant=variant), latent()
    expected = literal_svq.literal_weights(svq, z.permute(0, 1, 3, 4, 2)).flatten(0, -2)
    parts = list(svq.weights(z, chunk))
    assert [len(part) for part in parts[:-1]] == [chunk] * (len(parts) - 1)
    assert not any(part.requires_grad for part in parts)
    weights = torch.cat(parts)
    torch.testing.assert_close(weights, expected)
    # They are the weights that the output is made with.
    values = (weights @ svq.codebook).view(2, 3, 4, 5, CHANNELS).permute(0, 1, 4, 2, 3)
    torch.testing.assert_close(values, svq(z).values)
    assert torch.is_grad_enabled()


def count_folds(svq: SVQ, monkeypatch) -> list[int]:
    counted = [0]
    fold = svq.fold

    def counting():
        counted[0] += 1
        return fold()

    monkeypatch.setattr(svq, "fold", counting)
    return counted


def assert_current(svq: SVQ, z: Tensor) -> None:
    torch.testing.assert_close(svq(z).values, literal_of(svq)(z).values)


def test_inference_folds_once(monkeypatch):
    svq, z = make().eval(), latent()
    folds = count_folds(svq, monkeypatch)
    with torch.no_grad():
        for _ in range(3):
            assert_current(svq, z)
    with torch.inference_mode():
        assert_current(svq, z)
    assert folds[0] == 1
    # Not in the weights, and not where something is learned.
    assert set(svq.state_dict()) == set(make().state_dict())
    assert svq(z).values.requires_grad
    assert folds[0] == 2


def _step(svq):
    svq.codebook.grad = torch.ones_like(svq.codebook)
    torch.optim.SGD([svq.codebook], lr=0.1).step()


def _ema(svq):
    torch._foreach_lerp_([svq.regress.weight], [torch.ones_like(svq.regress.weight)], 0.5)


def _replace(svq):
    svq.regress.bias = torch.nn.Parameter(torch.ones_like(svq.regress.bias))


def _old_style(svq):
    svq.train()
    svq.codebook.data.mul_(2)
    svq.eval()


@pytest.mark.parametrize(
    "change",
    [
        _step,
        _ema,
        _replace,
        _old_style,
        lambda svq: svq.load_state_dict(make(seed=1).state_dict()),
        lambda svq: svq.load_state_dict(make(seed=1).state_dict(), assign=True),
        lambda svq: svq.codebook.mul_(2),
    ],
    ids=["optimizer", "average", "replaced", "data", "load", "assign", "in_place"],
)
def test_cached_fold_follows_the_weights(change):
    svq, z = make().eval(), latent()
    with torch.no_grad():
        before = svq(z).values
        change(svq)
        assert_current(svq, z)
        assert not torch.allclose(svq(z).values, before)


def test_cached_fold_follows_precision_and_copies():
    svq, z = make().eval(), latent()
    with torch.no_grad():
        svq(z)
        twin = copy.deepcopy(svq)
        twin.codebook.mul_(2)
        assert_current(twin, z)
        assert_current(svq, z)
        svq.float()
        values = svq(z.float()).values
        assert values.dtype == torch.float32
        svq.double()
        assert_current(svq, z)


def test_fold_keeps_precision_under_autocast():
    svq, z = make(torch.float32, codebook_size=2000), latent(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert svq.fold().weight.dtype == torch.float32
        rough = svq(z).values
    exact = svq(z).values
    assert (rough - exact).abs().max() < 0.02 * exact.abs().max()


SIZE, WIDTH = 2000, 32


def drawn(init: str, size: int = SIZE) -> Tensor:
    torch.manual_seed(0)
    return draw_codebook(size, WIDTH, init)


@pytest.mark.parametrize(
    ("init", "bound"),
    [
        ("kaiming_uniform", math.sqrt(6 / WIDTH)),
        ("xavier", math.sqrt(2) * math.sqrt(6 / (SIZE + WIDTH))),
    ],
)
def test_uniform_codebooks(init, bound):
    codebook = drawn(init)
    assert 0.999 * bound < codebook.abs().max() <= bound
    # A uniform distribution within +-bound has a standard deviation of bound / sqrt(3).
    assert codebook.std() == pytest.approx(bound / math.sqrt(3), rel=0.01)


def test_sparse_codebook():
    codebook = drawn("sparse")
    assert ((codebook == 0).sum(dim=0) == 0.9 * SIZE).all()
    assert codebook[codebook != 0].std() == pytest.approx(0.01, rel=0.05)


def test_normal_codebooks():
    normal, truncated = drawn("normal"), drawn("trunc_normal")
    assert normal.std() == pytest.approx(1, rel=0.01)
    assert normal.abs().max() > 3
    assert truncated.abs().max() <= 2
    # Standard deviation of a standard normal cut at +-2.
    assert truncated.std() == pytest.approx(0.8796, rel=0.01)


@pytest.mark.parametrize("size", [SIZE, WIDTH // 2])
def test_orthogonal_codebook(size):
    codebook = drawn("orthogonal", size)
    product = codebook.T @ codebook if size > WIDTH else codebook @ codebook.T
    torch.testing.assert_close(product, torch.eye(len(product)), atol=1e-5, rtol=0)


def test_codebook_init_is_used():
    svq = SVQ(WIDTH, SVQConfig(codebook_size=100, codebook_init="sparse"))
    assert ((svq.codebook == 0).sum(dim=0) == 90).all()
