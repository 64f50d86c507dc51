from __future__ import annotations

import pytest
import torch

from weathersvq.models.quantizers import QUANTIZERS


@pytest.fixture(params=QUANTIZERS, ids=lambda each: each.__name__)
def quantizer(request):
    torch.manual_seed(0)
    return request.param(6, request.param.Config())


def test_keeps_shape_and_looks_at_each_vector_alone(quantizer):
    z = torch.randn(2, 3, 6, 4, 5)
    quantizer.eval()
    values = quantizer(z).values
    assert values.shape == z.shape
    # The same vectors in another order, in time and space.
    turned = quantizer(z.flip(1, 3).transpose(3, 4)).values
    torch.testing.assert_close(turned, values.flip(1, 3).transpose(3, 4))


def test_result_is_frozen(quantizer):
    result = quantizer(torch.randn(1, 1, 6, 2, 2))
    assert dict(result.losses) == {}
    assert result.codes is None
    with pytest.raises(AttributeError):
        result.values = None


def test_kinds_are_unique():
    kinds = [each.Config().kind for each in QUANTIZERS]
    assert len(set(kinds)) == len(kinds)
