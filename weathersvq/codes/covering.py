"""Beside the flow: Theorem 4.1 in numbers: how many codes bring vectors within delta of themselves.

Vectors of the unit ball are put together from random codes in two ways: by the nearest code alone,
as clustering does, and by sparse regression, a weighted sum of at most k codes. The theorem (arXiv
2312.03406, section 4) compares the codes that each needs. Two things stand beside the comparison
that it leaves out: sparse regression also has k real weights a vector to choose, and where k reaches
the dimension any k codes do. What is measured is weaker than what the theorem speaks of: `SHARE` of
random vectors, not all vectors, and codes as they are drawn, not the best.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from weathersvq.errors import InputError

Float = NDArray[np.float32]
Method = Literal["nearest", "sparse", "sparse_as_theorem"]

# Of the vectors: as many must be within delta, and as many have an error below the one given.
SHARE = 0.99
# Codes compared at a time, and (vectors x codes) correlations held at a time: 64 MiB.
CHUNK = 8192
CORRELATIONS = 2**24

# Of balls that codes are drawn from.
RADII = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0)

DIMENSIONS = (2, 4, 6, 8, 12, 16, 24, 32)
SIZES = tuple(2**exponent for exponent in range(2, 14))


@dataclass(frozen=True)
class Bounds:
    """What Theorem 4.1 says of a dimension d and a distance delta.

    Attributes:
        nearest: 1 / delta^d, codes that the nearest code needs at least.
        sparse: (4 d / delta)^p, codes with which sparse regression can do.
        exponent: p, the least that the theorem allows.
        nonzeros: codes a vector, below which it says nothing of sparse regression.
    """

    nearest: float
    sparse: float
    exponent: float
    nonzeros: int


@dataclass(frozen=True)
class CodesNeeded:
    """Codes that bring SHARE of random vectors of the unit ball within delta.

    Attributes:
        dimension: d.
        delta: distance.
        method: by the nearest code, by sparse regression, or by that with the theorem's nonzeros.
        at_most: k, codes that a vector may be made of.
        codes: N; None where more are needed than were tried.
        tried: the largest N that was allowed.
        bound: the theorem's own: N that the nearest code needs at least, or with which sparse
            regression can do.
    """

    dimension: int
    delta: float
    method: Method
    at_most: int
    codes: int | None
    tried: int
    bound: float


@dataclass(frozen=True)
class ErrorOfSize:
    """Distance from vectors of the unit ball that SHARE of them stay below, for N random codes."""

    dimension: int
    method: Method
    at_most: int
    codes: int
    error: float


def theorem_bounds(
    dimension: int, delta: float, *, epsilon: float = 0.01, constant: float = 1.0
) -> Bounds:
    """The bounds of Theorem 4.1.

    Args:
        dimension: d.
        delta: distance, below 1.
        epsilon: probability that the bound of sparse regression fails.
        constant: C of the covering number of sparse vectors, which the paper leaves open.

    Raises:
        InputError: values that the theorem does not speak of.
    """
    if not (dimension >= 1 and 0 < delta < 1 and 0 < epsilon < 1 and constant > 0):
        raise InputError(
            f"dimension {dimension}, delta {delta:g}, epsilon {epsilon:g} and constant "
            f"{constant:g} are outside of Theorem 4.1; give a dimension of 1 or more, delta and "
            "epsilon between 0 and 1 and a positive constant"
        )
    # For large epsilon the double logarithm is not positive, and its quotient no bound.
    double = math.log(math.log(2 * dimension / epsilon)) if 2 * dimension / epsilon > 1 else 0.0
    if double <= 0:
        raise InputError(
            f"epsilon {epsilon:g} is too large for Theorem 4.1 in {dimension} dimensions; give one "
            f"below {2 * dimension / math.e:.3g}"
        )
    exponent = max(3.0, math.log(4 / delta) / double)
    logarithms = (
        math.log(constant) + exponent * math.log(4 * dimension) - (exponent + 1) * math.log(delta)
    )
    return Bounds(
        nearest=delta**-dimension,
        sparse=(4 * dimension / delta) ** exponent,
        exponent=exponent,
        nonzeros=math.ceil(4 * dimension / (delta * logarithms)),
    )


def draw_from_ball(count: int, dimension: int, generator: np.random.Generator) -> Float:
    """Uniform over the unit ball: (count, d)."""
    radius = generator.uniform(size=(count, 1)) ** (1 / dimension)
    return (radius * _directions(count, dimension, generator)).astype(np.float32)


def sparse_errors(vectors: Float, codes: Float, at_most: int) -> Float:
    """Distance of vectors from what orthogonal matching pursuit makes of them.

    Each step takes the code that fits best to what is left over, and then the best weights, of
    either sign, for all codes taken. A better choice of codes may exist: it is greedy.

    Args:
        vectors: (n, d).
        codes: (N, d) of length 1.
        at_most: k, steps.

    Returns:
        (n,).
    """
    block = max(1, CORRELATIONS // len(codes))
    parts = [vectors[start : start + block] for start in range(0, len(vectors), block)]
    return np.concatenate([_pursue(part, codes, at_most) for part in parts])


def nearest_errors(vectors: Float, codes: Float) -> Float:
    """Distance of vectors (n, d) from the nearest of codes (N, d): (n,)."""
    least = np.full(len(vectors), np.inf, np.float32)
    for start in range(0, len(codes), CHUNK):
        np.minimum(least, _squares(vectors, codes[start : start + CHUNK]).min(axis=1), out=least)
    return np.sqrt(np.maximum(least, 0))


def codes_needed(
    dimensions: Sequence[int] = DIMENSIONS,
    *,
    delta: float = 0.5,
    at_most: Sequence[int] = (2, 4),
    vectors: int = 2000,
    most_nearest: int = 2**21,
    most_sparse: int = 2**13,
    seed: int = 0,
) -> list[CodesNeeded]:
    """How the codes needed grow with the dimension, by the nearest code and by sparse regression.

    Args:
        dimensions: d.
        delta: distance.
        at_most: k of sparse regression; the theorem's own number of nonzeros is added to them.
        vectors: random vectors of the unit ball that are put together.
        most_nearest, most_sparse: largest codebooks tried. Where one is too small for a dimension,
            larger dimensions are not tried.
        seed: of vectors and codes.
    """
    needed = []
    exhausted: set[tuple[Method, int]] = set()
    for dimension in dimensions:
        bounds = theorem_bounds(dimension, delta)
        generator = np.random.default_rng((seed, dimension))
        ball = draw_from_ball(vectors, dimension, generator)
        methods: list[tuple[Method, int]] = [("nearest", 1)]
        methods += [("sparse", each) for each in at_most]
        methods.append(("sparse_as_theorem", bounds.nonzeros))
        for method, count in methods:
            # The theorem's k grows with the dimension: one that failed says nothing of the next.
            kind = (method, 0 if method == "sparse_as_theorem" else count)
            nearest = method == "nearest"
            most = most_nearest if nearest else most_sparse
            codes = None
            if kind not in exhausted:
                codes = (
                    _nearest_needed(ball, delta, most, generator)
                    if nearest
                    else _sparse_needed(ball, delta, count, most, generator)
                )
            if codes is None and method != "sparse_as_theorem":
                exhausted.add(kind)
            bound = bounds.nearest if nearest else bounds.sparse
            needed.append(CodesNeeded(dimension, delta, method, count, codes, most, bound))
    return needed


def errors_by_size(
    dimensions: Sequence[int] = (2, 4, 8, 16),
    *,
    sizes: Sequence[int] = SIZES,
    at_most: int = 2,
    vectors: int = 2000,
    seed: int = 0,
) -> list[ErrorOfSize]:
    """How the error falls with the codebook's size; larger codebooks hold the smaller ones.

    Codes for the nearest-code method fill a ball of the radius, among `RADII`, that suits the size
    best: few codes in many dimensions do best near the centre.

    Args:
        dimensions: d.
        sizes: N.
        at_most: k of sparse regression.
        vectors: random vectors of the unit ball that are put together.
        seed: of vectors and codes.
    """
    found = []
    for dimension in dimensions:
        generator = np.random.default_rng((seed, dimension))
        ball = draw_from_ball(vectors, dimension, generator)
        inside = draw_from_ball(max(sizes), dimension, generator)
        directions = _directions(max(sizes), dimension, generator)
        for size in sizes:
            least = min(
                _reached(nearest_errors(ball, inside[:size] * np.float32(radius)))
                for radius in RADII
            )
            found.append(ErrorOfSize(dimension, "nearest", 1, size, least))
            pursued = _reached(sparse_errors(ball, directions[:size], at_most))
            found.append(ErrorOfSize(dimension, "sparse", at_most, size, pursued))
    return found


def _reached(errors: Float) -> float:
    """The error that SHARE of the vectors stay below."""
    return float(np.quantile(errors, SHARE, method="inverted_cdf"))


def _directions(count: int, dimension: int, generator: np.random.Generator) -> Float:
    """Uniform over the unit sphere, as the theorem's normal codes are but for their length."""
    drawn = generator.normal(size=(count, dimension))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def _inner_ball(count: int, dimension: int, delta: float, generator: np.random.Generator) -> Float:
    """Codes for the nearest-code method, where they reach the most.

    Within delta of a code lies the most of the unit sphere, and nearly all of a ball of many
    dimensions lies there, if the code's distance from the centre is sqrt(1 - delta^2).
    """
    return draw_from_ball(count, dimension, generator) * np.float32(math.sqrt(1 - delta**2))


def _squares(vectors: Float, codes: Float) -> Float:
    """Squared distances: (n, d), (N, d) -> (n, N); rounding may take them below 0."""
    lengths = np.square(vectors).sum(axis=1)[:, None] + np.square(codes).sum(axis=1)
    return lengths - 2 * (vectors @ codes.T)


def _pursue(vectors: Float, codes: Float, at_most: int) -> Float:
    """`sparse_errors` of some vectors: what is left is kept orthogonal to the codes taken."""
    left = vectors.copy()
    # (n, k, d) orthonormal, spanning the codes taken.
    basis = np.zeros((len(vectors), at_most, vectors.shape[1]), np.float32)
    for step in range(min(at_most, len(codes), vectors.shape[1])):
        fits = np.abs(left @ codes.T)
        new = codes[fits.argmax(axis=1)]
        # Twice is enough: once leaves rounding errors where a code lies nearly in the span.
        for _ in range(2):
            inside = np.einsum("nkd,nd->nk", basis, new)
            new = new - np.einsum("nk,nkd->nd", inside, basis)
        length = np.linalg.norm(new, axis=1, keepdims=True)
        # Nothing new: the code was taken before, for what is left is rounding only.
        new = np.where(length > 1e-5, new / np.maximum(length, 1e-5), 0)
        basis[:, step] = new
        left -= np.einsum("nd,nd->n", left, new)[:, None] * new
    return np.linalg.norm(left, axis=1)


def _nearest_needed(
    vectors: Float, delta: float, most: int, generator: np.random.Generator
) -> int | None:
    """The first N of a row of random codes of which one is near enough, for SHARE of the vectors."""
    wanted = math.ceil(SHARE * len(vectors))
    waiting, done, firsts = vectors, 0, np.empty(0, np.int64)
    while done < most:
        codes = _inner_ball(min(CHUNK, most - done), vectors.shape[1], delta, generator)
        near = _squares(waiting, codes) <= delta**2
        hit = near.any(axis=1)
        firsts = np.concatenate([firsts, done + 1 + near[hit].argmax(axis=1)])
        if len(firsts) >= wanted:
            return int(np.sort(firsts)[wanted - 1])
        waiting, done = waiting[~hit], done + len(codes)
    return None


def _sparse_needed(
    vectors: Float, delta: float, at_most: int, most: int, generator: np.random.Generator
) -> int | None:
    """The least N, to within 5 %, by doubling and then by halving what lies between."""
    codes = _directions(most, vectors.shape[1], generator)

    def enough(size: int) -> bool:
        errors = sparse_errors(vectors, codes[:size], at_most)
        return float((errors <= delta).mean()) >= SHARE

    size = 1
    while not enough(size):
        if size == most:
            return None
        size = min(2 * size, most)
    low, high = size // 2, size
    while high - low > max(1, 0.05 * high):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
