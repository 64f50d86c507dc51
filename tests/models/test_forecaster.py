from __future__ import annotations

from typing import Literal

import pytest
import torch

from weathersvq.errors import InputError
from weathersvq.models.forecaster import Forecaster, Shape, rollout
from weathersvq.schema import Section


def add_one(x):
    """Two steps that go on counting from the last."""
    return torch.cat([x[:, -1:] + 1, x[:, -1:] + 2], dim=1)


def count(steps_in: int, steps: int) -> list[float]:
    x = torch.arange(1.0, steps_in + 1).view(1, steps_in, 1, 1, 1)
    return rollout(add_one, x, steps).flatten().tolist()


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("steps_in", [1, 2, 3])
def test_rollout_goes_on_and_cuts(steps_in, steps):
    assert count(steps_in, steps) == [steps_in + 1.0 + i for i in range(steps)]


def test_rollout_feeds_back_the_last_inputs_and_outputs():
    windows = []

    def model(x):
        windows.append(x.flatten().tolist())
        return add_one(x)

    rollout(model, torch.tensor([1.0, 2, 3]).view(1, 3, 1, 1, 1), 5)
    assert windows == [[1, 2, 3], [3, 4, 5], [5, 6, 7]]


def test_rollout_refuses_other_channels():
    def wider(x):
        return torch.cat([x, x], dim=2)

    x = torch.zeros(1, 3, 2, 4, 4)
    assert rollout(wider, x, 3).shape == (1, 3, 4, 4, 4)
    with pytest.raises(InputError, match=r"4 channels and reads 2; ask for at most 3 steps"):
        rollout(wider, x, 4)


class NoConfig(Section):
    kind: Literal["none"] = "none"


class Counting(Forecaster):
    """Gives two steps and, as its loss, the number of times it was applied."""

    Config = NoConfig
    applied = 0

    def advance(self, x):
        self.applied += 1
        return add_one(x), {"applied": torch.tensor(float(self.applied))}


def test_losses_are_averaged_over_applications():
    model = Counting(NoConfig(), Shape(2, 5, 1, 1, 1, 1))
    y, losses = model.forward_with_losses(torch.zeros(3, 2, 1, 1, 1))
    assert y.shape == (3, 5, 1, 1, 1)
    assert losses == {"applied": torch.tensor(2.0)}  # (1 + 2 + 3) / 3


def test_input_of_another_shape():
    model = Counting(NoConfig(), Shape(2, 5, 1, 1, 4, 8))
    with pytest.raises(InputError, match=r"\(B, 2, 1, 4, 8\), not \(3, 2, 1, 8, 4\)"):
        model(torch.zeros(3, 2, 1, 8, 4))


@pytest.mark.parametrize("field", ["in_steps", "out_steps", "channels_in", "height", "width"])
def test_sizes_below_one(field):
    sizes = dict(in_steps=2, out_steps=2, channels_in=1, channels_out=1, height=4, width=4)
    with pytest.raises(InputError, match=f"{field} is 0"):
        Shape(**{**sizes, field: 0})
