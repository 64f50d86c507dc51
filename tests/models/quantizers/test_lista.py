from __future__ import annotations

import itertools

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from weathersvq.models.quantizers import lista
from weathersvq.models.quantizers.lista import SVQRaw, SVQRawConfig, soft_threshold
from weathersvq.models.quantizers.usage import diagnose_weights

CHANNELS, SIZE = 6, 40


def make(dtype=torch.float64, **options) -> SVQRaw:
    torch.manual_seed(0)
    return SVQRaw(CHANNELS, SVQRawConfig(**{"codebook_size": SIZE, **options})).to(dtype)


def latent(dtype=torch.float64) -> Tensor:
    return torch.randn(2, 3, CHANNELS, 4, 5, dtype=dtype)


def weights_of(quantizer: SVQRaw, z: Tensor) -> Tensor:
    return torch.cat(list(quantizer.weights(z)))


def objective(quantizer: SVQRaw, z: Tensor) -> float:
    """Eq. 1 of the paper, the mean over latent vectors."""
    weights = weights_of(quantizer, z)
    rest = z.movedim(2, -1).flatten(0, -2) - weights @ quantizer.codebook
    costs = rest.square().sum(-1) / 2 + quantizer.config.sparsity * weights.abs().sum(-1)
    return float(costs.mean().detach())


def test_soft_threshold_by_hand():
    x = torch.tensor([[-3.0, -0.5, 0.0, 0.5, 3.0]])
    expected = torch.tensor([[-2.0, 0.0, 0.0, 0.0, 2.0]])
    torch.testing.assert_close(soft_threshold(x, torch.tensor(1.0)), expected)
    by_code = soft_threshold(x, torch.tensor([0.0, 0.5, 1.0, 0.25, 4.0]))
    torch.testing.assert_close(by_code, torch.tensor([[-3.0, 0.0, 0.0, 0.25, 0.0]]))


def test_starts_as_iterative_shrinkage():
    quantizer, z = make(iterations=5), latent()
    codebook = quantizer.codebook
    tokens = z.movedim(2, -1).flatten(0, -2)
    step = 1 / torch.linalg.eigvalsh(codebook @ codebook.t())[-1]
    weights = torch.zeros(len(tokens), SIZE, dtype=z.dtype)
    for _ in range(6):
        gradient = (weights @ codebook - tokens) @ codebook.t()
        weights = soft_threshold(weights - step * gradient, step * quantizer.config.sparsity)
    # The first values were computed in single precision.
    torch.testing.assert_close(weights_of(quantizer, z), weights, atol=1e-5, rtol=1e-4)
    values = (weights @ codebook).view(2, 3, 4, 5, CHANNELS).movedim(-1, 2)
    torch.testing.assert_close(quantizer(z).values, values, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("init", ["kaiming_uniform", "normal", "orthogonal"])
def test_more_iterations_come_nearer_to_the_least(init):
    z = latent()
    found = [
        objective(make(iterations=iterations, codebook_init=init), z)
        for iterations in (0, 1, 2, 4, 8, 16, 200)
    ]
    for less, more in itertools.pairwise(found):
        assert more <= less * (1 + 1e-5)
    assert found[-2] - found[-1] < 0.25 * (found[0] - found[-1])


def test_the_dearer_the_sparser():
    z = latent()
    used = [
        float((weights_of(make(sparsity=sparsity), z) != 0).double().mean())
        for sparsity in (0.0, 0.1, 0.5)
    ]
    assert used[0] == 1
    assert used[2] < 0.5 * used[1] < 0.4


def test_losses_are_the_objective():
    quantizer, z = make(), latent()
    losses = quantizer(z).losses
    weights = weights_of(quantizer, z)
    rest = quantizer(z).values - z
    expected = 0.1 * weights.abs().sum(-1).mean() / CHANNELS
    torch.testing.assert_close(losses["sparsity"], expected)
    torch.testing.assert_close(losses["latent"], rest.square().mean() / 2)
    assert float(sum(losses.values()).detach()) == pytest.approx(objective(quantizer, z) / CHANNELS)
    weighted = make(sparsity_weight=3.0, latent_weight=0.0)(z).losses
    torch.testing.assert_close(weighted["sparsity"], 3 * expected)
    assert weighted["latent"] == 0


def outputs(quantizer: SVQRaw, z: Tensor) -> dict[str, Tensor]:
    quantizer.zero_grad()
    z = z.clone().requires_grad_()
    result = quantizer(z)
    (result.values.sin().sum() + sum(result.losses.values())).backward()
    gradients = {name: each.grad.clone() for name, each in quantizer.named_parameters()}
    return {"values": result.values, "z": z.grad, **result.losses, **gradients}


def test_parts_do_not_matter(monkeypatch):
    quantizer, z = make(iterations=3), latent()
    whole, perplexity = outputs(quantizer, z), quantizer.diagnose(z)
    # 7 tokens a part; 120 tokens: the last part is shorter.
    monkeypatch.setattr(lista, "WEIGHTS_AT_A_TIME", 7 * 4 * SIZE)
    assert len(next(quantizer.weights(z))) == 7
    for name, value in outputs(quantizer, z).items():
        torch.testing.assert_close(value, whole[name])
    with torch.no_grad():
        torch.testing.assert_close(quantizer(z).values, whole["values"])
    expected = diagnose_weights(lambda: [weights_of(quantizer, z)])
    for name, value in quantizer.diagnose(z).items():
        torch.testing.assert_close(value, perplexity[name])
        torch.testing.assert_close(value, expected[name])


def test_learning_lowers_the_objective():
    quantizer, z = make(iterations=2), latent()
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=1e-3)
    before = objective(quantizer, z)
    for _ in range(20):
        optimizer.zero_grad()
        sum(quantizer(z).losses.values()).backward()
        optimizer.step()
    assert objective(quantizer, z) < before


def test_refuses_a_matrix_that_does_not_fit():
    # 4 x 20000^2 x 4 bytes = 6.4 GB; 4 GB hold 15811.4^2.
    with pytest.raises(ValidationError) as caught:
        SVQRawConfig(codebook_size=20_000)
    message = caught.value.errors()[0]["msg"]
    assert "\n" not in message
    for part in ("codebook_size: 20000", "6.4 GB", "memory_limit_gb: 4;", "at most 15811 codes"):
        assert part in message
    assert SVQRawConfig(codebook_size=20_000, memory_limit_gb=6.4)
    assert SVQRawConfig(codebook_size=15_811)
    with pytest.raises(ValidationError):
        SVQRawConfig(codebook_size=15_812)
