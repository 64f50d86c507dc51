"""Scores of frames: against scikit-image, by hand, and in parts."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from weathersvq.errors import InputError
from weathersvq.metrics import images as image_metrics
from weathersvq.metrics.images import (
    AlexNetFeatures,
    FrameScores,
    find_backbone,
    load_lpips,
    psnr,
    ssim,
)


@pytest.fixture
def frames() -> tuple[torch.Tensor, torch.Tensor]:
    """Predicted and true (3, 4, 2, 20, 31), smooth with noise."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[0:20, 0:31]
    true = 0.5 + 0.4 * np.sin(rows / 3 + columns / 5 + np.arange(24).reshape(3, 4, 2, 1, 1))
    predicted = np.clip(true + 0.1 * random.standard_normal(true.shape), 0, 1)
    return torch.from_numpy(predicted), torch.from_numpy(true)


@pytest.fixture
def backbone(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "alexnet.pth"
    torch.save(AlexNetFeatures().state_dict() | {"classifier.6.bias": torch.zeros(3)}, path)
    return path


def test_ssim_and_psnr_are_those_of_scikit_image(frames) -> None:
    predicted, true = (each.flatten(0, 1) for each in frames)
    expected = [
        structural_similarity(
            p, t, channel_axis=0, data_range=1, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False,
        )
        for p, t in zip(predicted.numpy(), true.numpy(), strict=True)
    ]  # fmt: skip
    assert ssim(predicted, true).numpy() == pytest.approx(expected, abs=1e-6)
    assert ssim(predicted.float(), true.float()).numpy() == pytest.approx(expected, abs=1e-4)
    expected = [
        peak_signal_noise_ratio(t, p, data_range=1)
        for p, t in zip(predicted.numpy(), true.numpy(), strict=True)
    ]
    assert psnr(predicted, true).numpy() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(2, 1, 11, 11), (2, 3, 13, 40)], ids=str)
@pytest.mark.parametrize("level", [0.02, 0.97], ids=["dark", "bright"])
def test_ssim_of_flat_frames(dtype: torch.dtype, shape: tuple[int, ...], level: float) -> None:
    """Where the variances are small differences of large means; down to a single window."""
    torch.manual_seed(0)
    true = torch.full(shape, level).to(dtype)
    predicted = (level + 1e-3 * torch.randn(shape)).to(dtype)
    expected = [
        structural_similarity(
            p, t, channel_axis=0, data_range=1, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False,
        )
        for p, t in zip(predicted.double().numpy(), true.double().numpy(), strict=True)
    ]  # fmt: skip
    assert ssim(predicted, true).numpy() == pytest.approx(expected, abs=1e-9)


def test_scores_do_not_hang_on_type_or_range(frames) -> None:
    predicted, true = (each.bfloat16() for each in frames)
    scores, exact, pixels = FrameScores(), FrameScores(), FrameScores(low=-10, high=245)
    scores.update(predicted, true)
    exact.update(predicted.double(), true.double())
    pixels.update(255 * predicted.double() - 10, 255 * true.double() - 10)
    for name, values in exact.by_lead().items():
        torch.testing.assert_close(scores.by_lead()[name], values)
        torch.testing.assert_close(pixels.by_lead()[name], values, rtol=1e-4, atol=1e-6)


def test_frames_beyond_the_range_are_cut_for_pictures_only() -> None:
    true = torch.ones(1, 1, 1, 11, 11)
    scores = FrameScores()
    scores.update(true + 0.5, true)
    found = scores.means()
    assert found["mae"] == pytest.approx(121 * 0.5)
    assert found["psnr"] == pytest.approx(100)
    assert found["ssim"] == pytest.approx(1)


def test_errors_are_summed_over_a_frame_and_averaged_over_frames() -> None:
    true = torch.zeros(2, 3, 2, 11, 12)
    predicted = true.clone()
    predicted[0, 1] = 0.5  # one of two windows, at the second lead: 2 * 11 * 12 numbers
    scores = FrameScores()
    scores.update(predicted, true)
    found = scores.by_lead()
    assert found["mse"].tolist() == [0, 264 * 0.25 / 2, 0]
    assert found["mae"].tolist() == [0, 264 * 0.5 / 2, 0]
    assert found["mse_per_pixel"].tolist() == [0, 0.25 / 2, 0]
    assert found["mae_per_pixel"].tolist() == [0, 0.5 / 2, 0]
    # 10 log10(1 / 0.25) in one window; the other one is without error.
    assert found["psnr"].tolist() == pytest.approx([100, (100 + 6.0206) / 2, 100], abs=1e-3)
    assert found["ssim"][0] == pytest.approx(1)
    assert scores.means()["mse"] == pytest.approx(11.0)


def test_parts_add_up(frames) -> None:
    whole, one, other = FrameScores(), FrameScores(), FrameScores()
    whole.update(*frames)
    one.update(*(each[:1] for each in frames))
    other.update(*(each[1:] for each in frames))
    one.merge(other)
    one.merge(FrameScores())
    assert one.count == whole.count == 3
    for name, values in whole.by_lead().items():
        torch.testing.assert_close(one.by_lead()[name], values)


def test_pieces_of_a_batch_add_up(frames, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, pieces = FrameScores(), FrameScores()
    whole.update(*frames)
    monkeypatch.setattr(image_metrics, "NUMBERS_AT_ONCE", 5 * 2 * 20 * 31)
    pieces.update(*frames)  # 12 frames as 5, 5 and 2
    for name, values in whole.by_lead().items():
        torch.testing.assert_close(pieces.by_lead()[name], values)


def test_lpips_says_why_it_is_left_out(frames, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.delenv("WEATHERSVQ_ALEXNET", raising=False)
    scores = FrameScores()
    scores.update(*frames)
    assert "not 2 channels" in scores.left_out["lpips"]
    scores = FrameScores()
    scores.update(torch.rand(1, 2, 1, 32, 32), torch.rand(1, 2, 1, 32, 32))
    assert "AlexNet's weights are not there" in scores.left_out["lpips"]
    assert "lpips" not in scores.by_lead()


def test_lpips_of_a_part_is_not_passed_off_as_the_whole(backbone: Path, frames) -> None:
    predicted, true = (each[:, :, :1] for each in frames)  # 20 rows
    scores, small = FrameScores(backbone), FrameScores(backbone)
    scores.update(torch.rand(1, 4, 1, 31, 31), torch.rand(1, 4, 1, 31, 31))
    assert "lpips" in scores.by_lead()
    small.update(predicted, true)
    assert small.left_out["lpips"] == "AlexNet needs frames of at least 31 x 31 pixels, not 20 x 31"
    scores.merge(small)
    assert "lpips" not in scores.by_lead()
    assert scores.left_out == small.left_out


def test_lpips_without_torchmetrics(backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_metrics, "find_spec", lambda name: None)
    scores = FrameScores(backbone)
    scores.update(torch.rand(1, 1, 1, 32, 32), torch.rand(1, 1, 1, 32, 32))
    assert "torchmetrics is not installed" in scores.left_out["lpips"]


@pytest.mark.parametrize("channels", [1, 3])
def test_lpips(backbone: Path, channels: int) -> None:
    torch.manual_seed(1)
    true = torch.rand(2, 2, channels, 64, 64)
    predicted = (true + 0.1 * torch.randn_like(true)).clamp(0, 1)
    scores = FrameScores(backbone)
    scores.update(predicted, true)
    back, same = FrameScores(backbone), FrameScores(backbone)
    back.update(true, predicted)
    same.update(true, true)
    found = scores.by_lead()["lpips"]
    assert (found > 0).all()
    torch.testing.assert_close(found, back.by_lead()["lpips"])
    assert not same.by_lead()["lpips"].any()
    # More noise is further away.
    worse = FrameScores(backbone)
    worse.update((true + 0.3 * torch.randn_like(true)).clamp(0, 1), true)
    assert (worse.by_lead()["lpips"] > found).all()


def test_lpips_by_hand(backbone: Path) -> None:
    """The definition, spelt out for one pair: unit vectors, squared, weighted, averaged, summed."""
    torch.manual_seed(1)
    network = load_lpips(backbone)
    a, b = torch.rand(2, 1, 3, 64, 64)
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    features = []
    for picture in (a, b):
        scaled = (2 * picture[0].numpy() - 1 - shift[:, None, None]) / scale[:, None, None]
        features.append(network.network(torch.from_numpy(scaled).float()[None]))
    total = 0.0
    for one, other, head in zip(*features, network.heads, strict=True):
        one, other = (x[0].numpy() for x in (one, other))
        one = one / np.sqrt((one**2).sum(axis=0))
        other = other / np.sqrt((other**2).sum(axis=0))
        weights = head.numpy().reshape(-1, 1, 1)
        total += float((weights * (one - other) ** 2).sum(axis=0).mean())
    assert float(network(a, b)) == pytest.approx(total, rel=1e-4)


def test_lpips_is_that_of_torchmetrics(backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its network around our features; building its own would need torchvision."""
    from torchmetrics.functional.image import lpips as theirs

    torch.manual_seed(1)
    ours = load_lpips(backbone)
    monkeypatch.setattr(
        theirs, "_get_tv_model_features", lambda net, pretrained: ours.network.features
    )
    reference = theirs._LPIPS(pretrained=True, net="alex", pnet_rand=True)
    predicted, true = torch.rand(2, 4, 3, 64, 48)
    found = ours(predicted, true)
    # Theirs adds 1e-8 under the root of a feature's length, ours, as the authors, next to nothing.
    torch.testing.assert_close(
        found, reference(predicted, true, normalize=True).flatten(), rtol=1e-4, atol=0
    )


def test_no_gradients_are_kept(backbone: Path) -> None:
    predicted = torch.rand(1, 2, 3, 32, 32, requires_grad=True)
    scores = FrameScores(backbone)
    scores.update(predicted, torch.rand(1, 2, 3, 32, 32))
    assert "lpips" in scores.sums
    assert not any(total.requires_grad for total in scores.sums.values())
    assert not any(parameter.requires_grad for parameter in load_lpips(backbone).parameters())


class Disguised:
    """What a pickle would run on loading."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return warnings.warn, ("code of a file was run",)


def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"forecast frames \(1, 2, 1, 16, 16\) and true ones"):
        FrameScores().update(torch.zeros(1, 2, 1, 16, 16), torch.zeros(1, 3, 1, 16, 16))
    with pytest.raises(InputError, match="at least 11 x 11 pixels, not 8 x 16"):
        FrameScores().update(torch.zeros(1, 2, 1, 8, 16), torch.zeros(1, 2, 1, 8, 16))
    wrong = tmp_path / "wrong.pth"
    torch.save({"a": torch.zeros(1)}, wrong)
    with pytest.raises(InputError, match="does not hold AlexNet's weights"):
        load_lpips(wrong)
    torch.save(Disguised(), wrong)
    with pytest.raises(InputError, match=r"does not hold AlexNet's weights \(UnpicklingError"):
        load_lpips(wrong)
    wrong.write_bytes(b"")
    with pytest.raises(InputError, match=r"does not hold AlexNet's weights \(EOFError"):
        load_lpips(wrong)
    for low, high in ((1, 1), (1, 0), (0, math.inf), (math.nan, 1)):
        with pytest.raises(InputError, match=r"range of the frames .* is empty or not finite"):
            FrameScores(low=low, high=high)
    scores, other = FrameScores(), FrameScores()
    scores.update(torch.zeros(1, 1, 1, 16, 16), torch.zeros(1, 1, 1, 16, 16))
    with pytest.raises(InputError, match="frames of 2 leads can't be added to scores of 1"):
        scores.update(torch.zeros(1, 2, 1, 16, 16), torch.zeros(1, 2, 1, 16, 16))
    other.update(torch.zeros(1, 2, 1, 16, 16), torch.zeros(1, 2, 1, 16, 16))
    with pytest.raises(InputError, match="frames of 2 leads can't be added to scores of 1"):
        scores.merge(other)
    with pytest.raises(InputError, match=r"in 0\.\.1 and in 0\.\.255 can't be added"):
        scores.merge(FrameScores(high=255))
    assert scores.count == 1
    monkeypatch.setenv("WEATHERSVQ_ALEXNET", str(tmp_path / "nothing.pth"))
    with pytest.raises(InputError, match=r"no file .*nothing\.pth"):
        find_backbone()
