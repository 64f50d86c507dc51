"""What holds for every quantizer."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from weathersvq.models.quantizers import QUANTIZERS
from weathersvq.models.quantizers.base import Quantized, Quantizer
from weathersvq.models.quantizers.lookup import Lookup
from weathersvq.schema import kind_of

CHANNELS = 6


def make(cls: type[Quantizer], seed: int = 0) -> Quantizer:
    torch.manual_seed(seed)
    return cls(CHANNELS, cls.Config())


def latent(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, CHANNELS, 4, 5)


def total(result: Quantized) -> Tensor:
    """What training could minimise."""
    losses = sum(result.losses.values(), torch.zeros(()))
    return result.values.float().square().mean() + losses


def learn(quantizer: Quantizer, steps: int = 3) -> None:
    """Training steps, after which neither parameters nor codebooks are the first ones."""
    parameters = list(quantizer.parameters())
    optimizer = torch.optim.Adam(parameters, lr=1e-3) if parameters else None
    for _ in range(steps):
        loss = total(quantizer(latent().requires_grad_()))
        loss.backward()
        if optimizer is not None:
            optimizer.step()
            optimizer.zero_grad()


@pytest.fixture(params=QUANTIZERS, ids=lambda each: each.__name__)
def quantizer(request):
    return make(request.param)


def test_keeps_shape_and_looks_at_each_vector_alone(quantizer):
    z = latent()
    quantizer.eval()
    values = quantizer(z).values
    assert values.shape == z.shape
    # The same vectors in another order, in time and space, and among samples.
    turned = quantizer(z.flip(0, 1, 3).transpose(3, 4)).values
    torch.testing.assert_close(turned, values.flip(0, 1, 3).transpose(3, 4))
    torch.testing.assert_close(quantizer(z[1:]).values, values[1:])


def test_result_is_frozen(quantizer):
    result = quantizer(latent())
    with pytest.raises(AttributeError):
        result.values = None


def test_scalars(quantizer):
    result = quantizer(latent().requires_grad_())
    for value in (*result.losses.values(), *result.diagnostics.values()):
        assert value.shape == ()
        assert value.isfinite()
    assert not any(value.requires_grad for value in result.diagnostics.values())
    # Losses are for training.
    assert dict(quantizer.eval()(latent()).losses) == {}


def test_codes(quantizer):
    codes = quantizer(latent()).codes
    assert (codes is not None) == isinstance(quantizer, Lookup)
    if codes is not None:
        assert codes.shape[:-1] == (2, 3, 4, 5)
        assert not codes.is_floating_point()
        assert 0 <= codes.min() <= codes.max() < quantizer.size


def test_gradients_reach_the_encoder_and_everything_that_learns(quantizer):
    z = latent().requires_grad_()
    total(quantizer(z)).backward()
    assert z.grad.isfinite().all()
    assert z.grad.any(dim=2).all()
    for name, parameter in quantizer.named_parameters():
        assert parameter.requires_grad, name
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_training_changes_it_and_evaluation_does_not(quantizer):
    z = latent()
    before = copy.deepcopy(quantizer.state_dict())
    learn(quantizer)
    after = copy.deepcopy(quantizer.state_dict())
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert bool(changed) == bool(before), "something learns"
    quantizer.eval()
    first = quantizer(z).values
    torch.testing.assert_close(quantizer(z).values, first, rtol=0, atol=0)
    for name, state in quantizer.state_dict().items():
        torch.testing.assert_close(state, after[name], rtol=0, atol=0)


def test_saved_and_loaded_it_gives_the_same(quantizer, tmp_path: Path):
    learn(quantizer)
    path = tmp_path / "quantizer.safetensors"
    save_file(quantizer.state_dict(), path)
    loaded = make(type(quantizer), seed=1)
    loaded.load_state_dict(load_file(path), strict=True)
    z = latent()
    found, expected = (each.eval()(z).values for each in (loaded, quantizer))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    # And it can go on learning.
    learn(loaded.train(), steps=1)


def test_a_copy_is_on_its_own(quantizer):
    z = latent()
    learn(quantizer)
    copied = copy.deepcopy(quantizer).eval()
    before = copied(z).values
    learn(quantizer)
    torch.testing.assert_close(copied(z).values, before, rtol=0, atol=0)


def test_reduced_precision(quantizer):
    z = latent().bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        result = quantizer(z)
    assert (result.values.shape, result.values.dtype) == (z.shape, z.dtype)
    total(result).backward()
    assert z.grad.isfinite().all()
    quantizer.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        rough = quantizer(z).values.float()
    with torch.no_grad():
        exact = quantizer(z.float()).values
    assert (rough - exact).abs().max() <= 0.02 * exact.abs().max()


def test_double_precision(quantizer):
    values = quantizer.double().eval()(latent().double()).values
    assert values.dtype == torch.float64


def test_diagnosis_changes_nothing(quantizer):
    z = latent()
    before = copy.deepcopy(quantizer.state_dict())
    found = quantizer.diagnose(z)
    assert quantizer.training
    for name, state in quantizer.state_dict().items():
        torch.testing.assert_close(state, before[name], rtol=0, atol=0)
    if kind_of(quantizer.Config) in ("identity", "mlp"):
        assert found == {}
    else:
        assert found["perplexity"] >= 1
        assert 0 < found["usage"] <= 1


def test_kinds_are_unique():
    kinds = [each.Config().kind for each in QUANTIZERS]
    assert len(set(kinds)) == len(kinds)
