from __future__ import annotations

import math

import pytest
import torch

from weathersvq.models.quantizers.svq import SVQ, SVQConfig
from weathersvq.models.quantizers.usage import (
    count_codes,
    count_large,
    diagnose_codes,
    diagnose_weights,
    mean_and_deviation,
    perplexity,
    usage,
)


@pytest.mark.parametrize("taken", [1, 3, 8])
def test_codes_taken_equally_often(taken):
    counts = torch.zeros(8, dtype=torch.long)
    counts[:taken] = 5
    assert perplexity(counts) == pytest.approx(taken)
    assert usage(counts) == taken / 8


def test_perplexity_by_hand():
    # Shares 1/2, 1/4, 1/4: entropy log(2) / 2 + log(4) / 2 = 3/2 log(2).
    assert perplexity(torch.tensor([2, 1, 1, 0])) == pytest.approx(2**1.5)
    # Each row for itself; nothing taken has perplexity 0.
    found = perplexity(torch.tensor([[1, 1], [0, 0]]))
    torch.testing.assert_close(found, torch.tensor([2.0, 0.0]))


def test_counts_of_codes_by_head():
    codes = torch.tensor([[0, 2], [0, 1], [3, 1]])
    expected = torch.tensor([[2, 0, 0, 1], [0, 2, 1, 0]])
    torch.testing.assert_close(count_codes(codes, 4), expected)
    torch.testing.assert_close(count_codes(codes.view(3, 1, 1, 2).int(), 4), expected)


def test_heads_with_and_without_a_codebook_in_common():
    # Two heads take codes 0 and 1, two take 2 and 3, all equally often.
    counts = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]])
    assert diagnose_codes(counts, 1) == {"perplexity": pytest.approx(2), "usage": 1}
    assert diagnose_codes(counts, 2) == {"perplexity": pytest.approx(2), "usage": 0.5}
    assert diagnose_codes(counts, 4) == {"perplexity": pytest.approx(2), "usage": 0.5}


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_moments_in_parts(chunk):
    torch.manual_seed(0)
    values = 1e3 + torch.randn(100, 5)
    mean, deviation = mean_and_deviation(values.split(chunk))
    assert mean == pytest.approx(values.double().mean().item(), rel=1e-7)
    assert deviation == pytest.approx(values.double().std().item(), rel=1e-4)


def test_large_weights_by_hand():
    weights = torch.tensor([[1.0, 5.0, -5.0], [2.0, 1.0, 6.0]])
    counts = count_large(weights.split(1), 1.0, 2.0, (1.5, 2.5))
    # Distances from 1 in units of 2: 0, 2, 3 and 0.5, 0, 2.5.
    torch.testing.assert_close(counts, torch.tensor([[0, 1, 2], [0, 0, 1]]))


def test_equal_weights_use_nothing():
    found = diagnose_weights(lambda: [torch.ones(4, 3)])
    assert found["perplexity"] == 0
    assert found["usage"] == 0


@pytest.mark.parametrize("variant", ["two_layer", "one_layer", "bucket", "post_relu"])
@pytest.mark.parametrize("chunk", [13, 4096])
def test_svq_as_with_all_weights_at_once(variant, chunk, monkeypatch):
    torch.manual_seed(0)
    svq = SVQ(6, SVQConfig(codebook_size=50, hidden=12, variant=variant))
    z = torch.randn(3, 4, 6, 5, 7)
    # As published: all weights of the batch normalised, thresholds, frequencies, entropy.
    weights = torch.cat(list(svq.weights(z)))
    normal = ((weights - weights.mean()) / weights.std()).abs()
    expected = {}
    for threshold in (2, 3):
        taken = (normal > threshold).float().sum(0)
        shares = taken / taken.sum()
        entropy = -(shares * torch.log(shares + 1e-10)).sum()
        expected[threshold] = math.exp(entropy), float((taken > 0).float().mean())
    parts = svq.weights
    monkeypatch.setattr(svq, "weights", lambda z: parts(z, chunk))
    found = svq.diagnose(z)
    for threshold, (number, share) in expected.items():
        assert found[f"perplexity_{threshold}"] == pytest.approx(number, rel=1e-5)
        assert found[f"usage_{threshold}"] == pytest.approx(share)
    for name, index in (("perplexity", 0), ("usage", 1)):
        mean = (expected[2][index] + expected[3][index]) / 2
        assert found[name] == pytest.approx(mean, rel=1e-5)
