"""Beside the flow: what the codebook of a trained model does to its latent vectors, in numbers.

The regression weights W of SVQ (tokens x N, 3.9 GB for a batch of 16 on the 5.625 degree grid) are
made some tokens at a time and never held. `pictures` draws what this module finds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from weathersvq.errors import InputError
from weathersvq.models.forecaster import Forecaster
from weathersvq.models.quantizers.base import Quantizer
from weathersvq.models.quantizers.lista import SVQRaw
from weathersvq.models.quantizers.svq import SVQ
from weathersvq.models.quantizers.usage import (
    THRESHOLDS,
    count_large,
    mean_and_deviation,
    perplexity,
    usage,
)
from weathersvq.models.quantizers.vq import VQ, ResidualVQ, StochasticResidualVQ
from weathersvq.models.simvp import SimVP

Float = NDArray[np.float32]

# Of all distributions, in standard deviations from the mean.
EDGES = np.linspace(-8.0, 8.0, 321)
# A weight below this share of the largest one counts as near zero.
NEAR_ZERO = 0.01
# Of the sum of the absolute weights: what those that count carry together.
CARRIED = 0.99
# Values read at a time: 32 MiB as float64. Counts of single precision are exact up to 2**24.
PIECE = 2**22
# Steps between 0 and the largest weight, so that 1 % of it lies between two of them.
FINE_BINS = 50_000
# Vectors are the same where they differ by less than about this share of the largest value.
SAME = 1e-5
# Fewer are no picture.
FEWEST_POINTS = 5


@dataclass(frozen=True)
class Distribution:
    """Values after normalisation by their own mean and standard deviation.

    Attributes:
        count: number of values.
        mean: of the values as they were.
        deviation: their standard deviation (n - 1).
        kurtosis: excess kurtosis, 0 for a normal distribution, -1.2 for a uniform one.
        edges: (bins + 1,) of bins of the normalised values, in standard deviations from the mean.
        density: (bins,) of the normalised values, per standard deviation; times the bins' widths
            it sums to 1, with what lies outside.
        outside: share of the values beyond the edges.
    """

    count: int
    mean: float
    deviation: float
    kurtosis: float
    edges: NDArray[np.float64]
    density: NDArray[np.float64]
    outside: float


@dataclass(frozen=True)
class WeightStatistics:
    """What regression weights say of how a codebook is used.

    Which kurtosis the paper means (Table 8, Figure 5), it does not say. Its figures fit the excess:
    the weights of an SVQ as it is drawn, N = 10000, have an excess of 1.4, beside the paper's 1.56
    to 1.60 for frozen codebooks. Pearson's, larger by 3, is below 1.8 only for what is flatter than
    a uniform distribution, and these weights have a peak near zero.

    Attributes:
        tokens: number of latent vectors.
        codes: N.
        distribution: of all tokens x N weights.
        near_zero: share of the weights whose absolute value is below NEAR_ZERO of the largest.
        carriers: share of the weights that carry CARRIED of the sum of absolute weights, the
            largest first; the lower, the sparser.
        perplexity: by threshold in standard deviations (A.4).
        usage: share of the codes with any weight beyond the threshold, by threshold.
    """

    tokens: int
    codes: int
    distribution: Distribution
    near_zero: float
    carriers: float
    perplexity: Mapping[int, float]
    usage: Mapping[int, float]


@dataclass(frozen=True)
class Latents:
    """Latent maps on both sides of the quantizer.

    Their channels need not correspond: nothing in training asks that one side resembles the other.

    Attributes:
        before: (B, T, D, H', W') what the quantizer is given.
        after: same shape, what it gives.
    """

    before: Float
    after: Float


@dataclass(frozen=True)
class Embedding:
    """Where t-SNE puts codes and quantized vectors in one plane; its axes have no unit.

    Attributes:
        codes: (N, 2), or fewer where they were drawn from.
        quantized: (n, 2).
    """

    codes: Float
    quantized: Float


def latents_of(model: Forecaster, inputs: Tensor) -> Latents:
    """Latent maps before and after the quantizer, window by window; no codebook learns from it.

    A halo and what pads the grid to the encoder's needs are parts of the maps.

    Args:
        model: SimVP with any quantizer.
        inputs: (B, T_in, C, H, W) normalised.

    Raises:
        InputError: a model without a quantizer.
    """
    quantizer = _quantizer_of(model)
    before = _encode(model, inputs)
    with torch.no_grad(), _evaluating(quantizer):
        after = torch.cat([quantizer(each).values for each in before.split(1)])
    return Latents(_array(before), _array(after))


def codebook_of(model: Forecaster) -> Float:
    """The codes, in the space of the latent vectors: (N, D), all quantizers' for residual kinds.

    Raises:
        InputError: no quantizer, or one whose codes are none or lie in another space.
    """
    quantizer = _quantizer_of(model)
    if isinstance(quantizer, SVQ | SVQRaw):
        return _array(quantizer.codebook)
    if isinstance(quantizer, VQ):
        return _array(quantizer.module.codebook)  # type: ignore[arg-type]
    if isinstance(quantizer, ResidualVQ | StochasticResidualVQ):
        # (quantizers, N, D); one that is shared stands there once for each.
        every: Tensor = quantizer.module.codebooks  # type: ignore[assignment]
        return _array(every[: quantizer.codebooks].flatten(0, 1))
    raise InputError(
        f"the quantizer {_kind(quantizer)} has no codes that could stand beside latent vectors; "
        "give a model with svq, svq_raw, vq, residual_vq or residual_vq_stochastic"
    )


def weight_statistics(model: Forecaster, inputs: Tensor) -> WeightStatistics:
    """Kurtosis, sparsity, perplexity and usage of the regression weights, which are made twice.

    Args:
        model: SimVP with SVQ, in any variant, or SVQ-raw.
        inputs: (B, T_in, C, H, W) normalised.

    Raises:
        InputError: no quantizer, one without regression weights, or weights that are not finite or
            all the same.
    """
    quantizer = _quantizer_of(model)
    if not isinstance(quantizer, SVQ | SVQRaw):
        raise InputError(
            f"the quantizer {_kind(quantizer)} has no regression weights; give a model with svq or "
            "svq_raw"
        )
    tokens = _encode(model, inputs)
    size = len(quantizer.codebook)

    def parts() -> Iterator[Tensor]:
        for part in quantizer.weights(tokens):
            yield from part.split(max(1, PIECE // size))

    largest = 0.0

    def watched() -> Iterator[Tensor]:
        nonlocal largest
        for part in parts():
            largest = max(largest, float(torch.linalg.vector_norm(part, torch.inf)))
            yield part

    gathered = _Gathered(*mean_and_deviation(watched()))
    magnitudes = torch.zeros(FINE_BINS, dtype=torch.float64)
    total, counts = 0.0, torch.zeros(len(THRESHOLDS), size, dtype=torch.long)
    for part in parts():
        gathered.add(part)
        counts += count_large([part], gathered.mean, gathered.deviation, THRESHOLDS).cpu()
        magnitude = part.float().abs()
        total += float(magnitude.sum(dtype=torch.float64))
        magnitudes += torch.histc(magnitude, FINE_BINS, 0, largest).cpu()
    distribution = gathered.distribution()
    named = [dict(zip(THRESHOLDS, f(counts).tolist(), strict=True)) for f in (perplexity, usage)]
    return WeightStatistics(
        tokens=distribution.count // size,
        codes=size,
        distribution=distribution,
        near_zero=float(magnitudes[: round(FINE_BINS * NEAR_ZERO)].sum()) / distribution.count,
        carriers=_carriers(magnitudes.numpy(), largest, total) / distribution.count,
        perplexity=named[0],
        usage=named[1],
    )


def distribution_of(values: NDArray[np.floating]) -> Distribution:
    """Distribution of all values of an array, such as a codebook or latent maps (Figures 5, 9).

    Raises:
        InputError: values that are not finite or all the same.
    """
    parts = torch.from_numpy(np.ascontiguousarray(values).reshape(-1)).split(PIECE)
    gathered = _Gathered(*mean_and_deviation(parts))
    for part in parts:
        gathered.add(part)
    return gathered.distribution()


def sample_vectors(maps: Float, count: int, seed: int = 0) -> Float:
    """Latent vectors of some tokens, drawn without repetition: (B, T, D, H', W') -> (n, D).

    Args:
        count: n; all of them, in order, where there are no more.
        seed: the same one draws the same tokens, also from maps on the quantizer's other side.
    """
    return _draw(np.moveaxis(maps, 2, -1).reshape(-1, maps.shape[2]), count, seed)


def embed(
    codes: Float,
    quantized: Float,
    *,
    most_codes: int = 2000,
    perplexity: float = 30.0,
    seed: int = 0,
) -> Embedding:
    """Codes and quantized vectors in one plane by t-SNE (Figure 1); ten seconds for 1000 of each.

    Equal points, such as a code and its copies, are put in one place: t-SNE would move copies
    apart, into rings, as if they differed.

    Args:
        codes: (N, D), see `codebook_of`.
        quantized: (n, D), see `sample_vectors`.
        most_codes: of a larger codebook as many codes are drawn.
        perplexity: of t-SNE, about how many neighbours a point has, which is no codebook's; a third
            of the different points at most is taken.
        seed: of the drawing and of t-SNE.

    Raises:
        InputError: scikit-learn is not installed, vectors of another length than the codes, or
            hardly any different points.
    """
    try:
        manifold = import_module("sklearn.manifold")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "sklearn":
            raise
        raise InputError(
            "t-SNE needs scikit-learn, which is not installed; pip install 'weathersvq[report]'"
        ) from error
    if codes.shape[1] != quantized.shape[1]:
        raise InputError(
            f"codes of length {codes.shape[1]} and vectors of length {quantized.shape[1]} do not "
            "lie in one space; give those of one model"
        )
    codes = _draw(codes, most_codes, seed)
    points = np.concatenate([codes, quantized])
    # Copies differ in their last digits.
    rounded = np.round(points / (SAME * np.abs(points).max()))
    _, first, place = np.unique(rounded, axis=0, return_index=True, return_inverse=True)
    if len(first) < FEWEST_POINTS:
        raise InputError(
            f"t-SNE needs {FEWEST_POINTS} different points or more, not {len(first)}; give a larger "
            "codebook or more vectors"
        )
    plane = manifold.TSNE(
        perplexity=min(perplexity, (len(first) - 1) / 3),
        init="pca",
        learning_rate="auto",
        random_state=seed,
    ).fit_transform(points[first])[place]
    return Embedding(plane[: len(codes)], plane[len(codes) :])


class _Gathered:
    """Moments and histogram of values that come in parts, their mean and deviation known."""

    def __init__(self, mean: float, deviation: float) -> None:
        if not np.isfinite([mean, deviation]).all():
            raise InputError("there are values that are not finite; train the model again")
        if deviation == 0:
            raise InputError(
                f"all values are {mean:g}, which has no distribution; train the model again"
            )
        self.mean, self.deviation = mean, deviation
        self.count, self.squares, self.fourths = 0, 0.0, 0.0
        self.counts = torch.zeros(EDGES.size - 1, dtype=torch.float64)

    def add(self, part: Tensor) -> None:
        normalised = (part.float() - self.mean) / self.deviation
        low, high = float(EDGES[0]), float(EDGES[-1])
        self.counts += torch.histc(normalised, EDGES.size - 1, low, high).cpu()
        squares = normalised.square_()
        self.squares += float(squares.sum(dtype=torch.float64))
        self.fourths += float(squares.square_().sum(dtype=torch.float64))
        self.count += part.numel()

    def distribution(self) -> Distribution:
        return Distribution(
            count=self.count,
            mean=self.mean,
            deviation=self.deviation,
            kurtosis=self.fourths * self.count / self.squares**2 - 3,
            edges=EDGES,
            density=self.counts.numpy() / np.diff(EDGES) / self.count,
            outside=1 - float(self.counts.sum()) / self.count,
        )


def _carriers(magnitudes: NDArray[np.float64], largest: float, total: float) -> float:
    """How many of the largest values carry CARRIED of the sum.

    Args:
        magnitudes: (FINE_BINS,) counts between 0 and the largest value.
        total: sum of all values.
    """
    values = (np.arange(FINE_BINS) + 0.5) * largest / FINE_BINS
    # From the largest down: within a bin all weigh the same, so lines between sums are exact.
    sums = np.concatenate([[0.0], np.cumsum((magnitudes * values)[::-1])])
    numbers = np.concatenate([[0.0], np.cumsum(magnitudes[::-1])])
    return float(np.interp(CARRIED * total, sums, numbers))


def _draw(vectors: Float, count: int, seed: int) -> Float:
    if len(vectors) <= count:
        return vectors
    chosen = np.random.default_rng(seed).choice(len(vectors), count, replace=False)
    return vectors[np.sort(chosen)]


def _quantizer_of(model: Forecaster) -> Quantizer:
    if not isinstance(model, SimVP):
        raise InputError(f"the model {_kind(model)} has no quantizer; give a simvp model")
    return model.quantizer


def _kind(module: Forecaster | Quantizer) -> str:
    """Its name in a config."""
    return str(module.Config.model_fields["kind"].default)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


def _encode(model: Forecaster, inputs: Tensor) -> Tensor:
    """What the quantizer is given, (B, T, D, H', W'), window by window to bound memory."""
    assert isinstance(model, SimVP)
    device = next(model.parameters()).device
    with torch.no_grad(), _evaluating(model):
        return torch.cat([model.encode(each.to(device))[0] for each in inputs.split(1)])


def _array(values: Tensor) -> Float:
    return values.detach().float().cpu().contiguous().numpy()
