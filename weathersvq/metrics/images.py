"""Beside verification of fields: how well frames of pictures are forecast, by lead.

As the paper prints them (arXiv 2312.03406, A.5): MSE and MAE summed over the numbers of a frame and
averaged over frames; SSIM, PSNR and LPIPS of each frame, averaged. All on values scaled to 0..1.
Sums by lead are kept apart from the scores, so that parts of many batches or machines add up.

SSIM is the one of its authors (Wang et al., 2004), because that is what the name stands for and it
doesn't hang on the type of the numbers. OpenSTL, and with it the paper's tables, takes scikit-image's
defaults of the time: a flat window of 7, the sample covariance, and a range of 2 for any picture in
floating point. That one lies higher on the same frames: the two are not to be compared.
"""

from __future__ import annotations

import math
import os
import pickle
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from weathersvq.errors import InputError

# SSIM of Wang et al. (2004): Gaussian window of 11 with deviation 1.5, constants for a range of 1.
WINDOW, DEVIATION = 11, 1.5
LUMINANCE, CONTRAST = 0.01**2, 0.03**2
# Of frames without any error; their PSNR would be infinite, and so would every mean with them.
MOST_DECIBELS = 100.0
# Where torch keeps AlexNet's weights once something has fetched them.
ALEXNET_FILE = "alexnet-owt-7be5be79.pth"
ALEXNET_VARIABLE = "WEATHERSVQ_ALEXNET"
# Below this AlexNet's pooling has nothing left to pool.
SMALLEST_FOR_ALEXNET = 31
# Numbers of frames in work at once: SSIM holds about ten float64 copies of them, 160 MB.
NUMBERS_AT_ONCE = 2**21


def ssim(predicted: Tensor, target: Tensor) -> Tensor:
    """Structural similarity, averaged over the window's places and over channels.

    As scikit-image's with Gaussian weights and without the sample correction; the border that its
    windows do not fill is left out there, too.

    Args:
        predicted, target: (N, C, H, W) in 0..1, at least WINDOW rows and columns.

    Returns:
        (N,), float64.
    """
    height, width = predicted.shape[2:]
    if min(height, width) < WINDOW:
        raise InputError(
            f"SSIM needs frames of at least {WINDOW} x {WINDOW} pixels, not {height} x {width}"
        )
    # A variance is the small difference of two means: in float32, flat bright frames are 1e-4 off.
    predicted, target = predicted.double(), target.double()
    down, across = _window(height, predicted.device), _window(width, predicted.device).T

    def blur(x: Tensor) -> Tensor:
        return down @ x @ across

    mean_p, mean_t = blur(predicted), blur(target)
    variance_p = blur(predicted.square()) - mean_p.square()
    variance_t = blur(target.square()) - mean_t.square()
    covariance = blur(predicted * target) - mean_p * mean_t
    similar = (2 * mean_p * mean_t + LUMINANCE) * (2 * covariance + CONTRAST)
    similar = similar / (
        (mean_p.square() + mean_t.square() + LUMINANCE) * (variance_p + variance_t + CONTRAST)
    )
    return similar.flatten(1).mean(dim=1)


def _window(length: int, device: torch.device) -> Tensor:
    """The Gaussian window at all its places along an axis: (length - WINDOW + 1, length).

    Rows sum to 1. As a matrix product in float64 it still takes less time on CPU than a convolution in
    float32, a third for SSIM at 128 pixels; and no device shortens float64, as cuDNN may float32.
    """
    places = torch.arange(WINDOW, device=device, dtype=torch.float64) - WINDOW // 2
    weights = (-(places**2) / (2 * DEVIATION**2)).exp()
    weights = weights / weights.sum()
    starts = torch.arange(length - WINDOW + 1, device=device)[:, None]
    columns = starts + torch.arange(WINDOW, device=device)
    window = torch.zeros(len(starts), length, device=device, dtype=torch.float64)
    return window.scatter_(1, columns, weights.expand_as(columns))


def psnr(predicted: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, at most MOST_DECIBELS: (N, C, H, W) in 0..1 -> (N,)."""
    mean_square = (predicted - target).square().flatten(1).mean(dim=1)
    return -10 * mean_square.clamp(min=10 ** (-MOST_DECIBELS / 10)).log10()


class AlexNetFeatures(nn.Module):
    """The convolutions of AlexNet, whose weights' names are the usual ones (Krizhevsky, 2014)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> what each of the five ReLUs gives."""
        found = []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                found.append(x)
        return found


class LPIPS(nn.Module):
    """Learned perceptual distance (Zhang et al., 2018), version 0.1 with AlexNet.

    Args:
        backbone: file with AlexNet's weights.

    Raises:
        InputError: a file that can't be read, or that holds other weights.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, backbone: Path) -> None:
        super().__init__()
        self.network = AlexNetFeatures()
        try:
            weights = torch.load(backbone, map_location="cpu", weights_only=True)
            wanted = {name: weights[name] for name in self.network.state_dict()}
            self.network.load_state_dict(wanted)
        except (
            OSError, EOFError, KeyError, RuntimeError, ValueError, TypeError, pickle.UnpicklingError
        ) as error:  # fmt: skip
            raise InputError(
                f"{backbone} does not hold AlexNet's weights ({type(error).__name__}); expected "
                f"the file {ALEXNET_FILE} of torch's model zoo"
            ) from error
        heads = torch.load(_heads_file(), map_location="cpu", weights_only=True)
        self.heads = nn.ParameterList(heads[f"lin{i}.model.1.weight"] for i in range(5))
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1))
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1))
        self.requires_grad_(False).eval()

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        """(N, C, H, W) in 0..1, C = 1 or 3 -> (N,)."""
        first, second = (self._features(each) for each in (predicted, target))
        total = predicted.new_zeros(len(predicted))
        for one, other, head in zip(first, second, self.heads, strict=True):
            apart = (F.normalize(one, eps=1e-10) - F.normalize(other, eps=1e-10)).square()
            total = total + F.conv2d(apart, head).mean(dim=(1, 2, 3))
        return total

    def _features(self, x: Tensor) -> list[Tensor]:
        x = (2 * x.expand(-1, 3, -1, -1) - 1 - self.shift) / self.scale
        features: list[Tensor] = self.network(x)
        return features


def _heads_file() -> Path:
    """The linear heads that torchmetrics brings along."""
    return Path(str(resources.files("torchmetrics.functional.image") / "lpips_models" / "alex.pth"))


def find_backbone(path: Path | None = None) -> Path | None:
    """AlexNet's weights: a file that is named, or the environment's, or torch's cache.

    Raises:
        InputError: a named file that is not there.
    """
    named = path or (Path(os.environ[ALEXNET_VARIABLE]) if ALEXNET_VARIABLE in os.environ else None)
    if named is not None:
        if not named.is_file():
            raise InputError(f"no file {str(named)!r} with AlexNet's weights for LPIPS")
        return named
    cached = Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET_FILE
    return cached if cached.is_file() else None


@cache
def load_lpips(backbone: Path) -> LPIPS:
    """The network, once."""
    return LPIPS(backbone)


@dataclass
class FrameScores:
    """Scores of forecast frames by lead, over any number of batches.

    Args:
        backbone: AlexNet's weights for LPIPS; found by `find_backbone` if None.
        low, high: declared range of the frames; every score is of values scaled from it to 0..1.

    Attributes:
        sums: of each metric over frames, (T,).
        count: windows so far.
        left_out: metrics that can't be computed for all windows, with the reason.

    Raises:
        InputError: a range that is empty or not finite.
    """

    backbone: Path | None = None
    low: float = 0.0
    high: float = 1.0
    sums: dict[str, Tensor] = field(default_factory=dict)
    count: int = 0
    left_out: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.low < self.high and math.isfinite(self.high - self.low)):
            raise InputError(
                f"range of the frames {self.low:g}..{self.high:g} is empty or not finite; expected "
                "low < high"
            )

    @torch.no_grad()
    def update(self, predicted: Tensor, target: Tensor) -> None:
        """Take in some windows.

        Args:
            predicted, target: (B, T, C, H, W), any floating-point type, T as in all batches. What
                lies beyond the declared range is cut for SSIM, PSNR and LPIPS, as a screen would.

        Raises:
            InputError: shapes that differ, another T than before, frames too small for SSIM.
        """
        if predicted.shape != target.shape or predicted.ndim != 5:
            raise InputError(
                f"forecast frames {tuple(predicted.shape)} and true ones {tuple(target.shape)} "
                "must have the same shape (windows, leads, channels, rows, columns)"
            )
        windows, steps = predicted.shape[:2]
        self._check_leads(steps)
        predicted, target = (self._scale(each).flatten(0, 1) for each in (predicted, target))
        at_once = max(1, NUMBERS_AT_ONCE // max(1, predicted[:1].numel()))
        found: dict[str, Tensor] = {}
        for start in range(0, max(1, len(predicted)), at_once):
            piece = slice(start, start + at_once)
            for name, values in self._score(predicted[piece], target[piece]).items():
                # Filled in place: kept pieces would pin the large blocks freed between them.
                found.setdefault(name, values.new_empty(len(predicted)))[piece] = values
        for name, values in found.items():
            total = values.double().unflatten(0, (windows, steps)).sum(dim=0).cpu()
            self.sums[name] = self.sums[name] + total if name in self.sums else total
        self.count += windows

    def merge(self, other: FrameScores) -> None:
        """Add what another one has seen, with the same range and the same leads.

        A metric that one of them had to leave out is left out of both together.

        Raises:
            InputError: another range or other leads.
        """
        if (self.low, self.high) != (other.low, other.high):
            raise InputError(
                f"scores of frames in {self.low:g}..{self.high:g} and in {other.low:g}.."
                f"{other.high:g} can't be added; score both in the same range"
            )
        for name, total in other.sums.items():
            self._check_leads(len(total))
            self.sums[name] = self.sums[name] + total if name in self.sums else total
        self.count += other.count
        self.left_out |= other.left_out

    def by_lead(self) -> dict[str, Tensor]:
        """Each metric, (T,)."""
        return {
            name: total / self.count
            for name, total in self.sums.items()
            if name not in self.left_out
        }

    def means(self) -> dict[str, float]:
        """Each metric over all leads."""
        return {name: float(values.mean()) for name, values in self.by_lead().items()}

    def _check_leads(self, steps: int) -> None:
        for total in self.sums.values():
            if len(total) != steps:
                raise InputError(
                    f"frames of {steps} leads can't be added to scores of {len(total)}; score them "
                    "apart"
                )

    def _scale(self, frames: Tensor) -> Tensor:
        frames = frames.float()
        if (self.low, self.high) == (0, 1):
            return frames
        return (frames - self.low) / (self.high - self.low)

    def _score(self, predicted: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Each metric of each frame: (N, C, H, W) -> (N,)."""
        error = (predicted - target).flatten(1)
        found = {
            "mse": error.square().sum(dim=1),
            "mae": error.abs().sum(dim=1),
            # Channels count as pixels of their own.
            "mse_per_pixel": error.square().mean(dim=1),
            "mae_per_pixel": error.abs().mean(dim=1),
        }
        predicted, target = predicted.clamp(0, 1), target.clamp(0, 1)
        found["ssim"] = ssim(predicted, target)
        found["psnr"] = psnr(predicted, target)
        network = self._lpips(predicted.shape[1:])
        if network is not None:
            found["lpips"] = network.to(predicted.device)(predicted, target)
        return found

    def _lpips(self, frame: torch.Size) -> LPIPS | None:
        channels, height, width = frame
        if channels not in (1, 3):
            reason = f"it compares grey or colour pictures, not {channels} channels"
        elif min(height, width) < SMALLEST_FOR_ALEXNET:
            smallest = f"{SMALLEST_FOR_ALEXNET} x {SMALLEST_FOR_ALEXNET}"
            reason = f"AlexNet needs frames of at least {smallest} pixels, not {height} x {width}"
        elif (backbone := find_backbone(self.backbone)) is None:
            reason = (
                f"AlexNet's weights are not there; name a file {ALEXNET_FILE} in {ALEXNET_VARIABLE}"
            )
        elif find_spec("torchmetrics") is None:
            reason = "torchmetrics is not installed; pip install 'weathersvq[video]'"
        else:
            return load_lpips(backbone)
        self.left_out["lpips"] = reason
        return None
