from __future__ import annotations

import torch

from weathersvq.models.quantizers.mlp import PointwiseMLP, PointwiseMLPConfig
from weathersvq.models.quantizers.svq import SVQ, SVQConfig


def test_it_is_what_svq_computes_once_folded():
    torch.manual_seed(0)
    svq = SVQ(6, SVQConfig(codebook_size=200))
    control = PointwiseMLP(6, PointwiseMLPConfig())
    folded = svq.fold()
    control.layers[0].load_state_dict(svq.project[0].state_dict())
    control.layers[2].load_state_dict({"weight": folded.weight, "bias": folded.bias})
    z = torch.randn(2, 3, 6, 4, 5)
    torch.testing.assert_close(control(z).values, svq(z).values)
