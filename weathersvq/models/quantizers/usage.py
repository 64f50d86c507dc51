"""How much of a codebook is used: perplexity and usage, from codes or from regression weights.

The perplexity exp(entropy of how often each code is taken) is the number of codes that, taken
equally often, would be as diverse. Codes are counted as they are; of regression weights, which take
all codes a bit, those far from the mean are counted (arXiv 2312.03406, A.4).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

# In standard deviations (A.4).
THRESHOLDS = (2, 3)


def perplexity(counts: Tensor) -> Tensor:
    """Perplexity of how often each code was taken: k where k codes were taken equally often.

    Args:
        counts: (..., N), at least 0.

    Returns:
        (...), between 1 and N; 0 where no code was taken at all.
    """
    total = counts.sum(dim=-1)
    shares = counts / total.clamp(min=1).unsqueeze(-1)
    return torch.where(total > 0, torch.special.entr(shares).sum(dim=-1).exp(), 0.0)


def usage(counts: Tensor) -> Tensor:
    """Share of the codes that were taken at all: (..., N) -> (...)."""
    return (counts > 0).float().mean(dim=-1)


def count_codes(codes: Tensor, size: int) -> Tensor:
    """How often each head took each code.

    Args:
        codes: (..., heads) integers from 0 to `size` - 1.
        size: N, number of codes.

    Returns:
        (heads, N) integers.
    """
    taken = codes.flatten(0, -2).t().long()
    return taken.new_zeros(len(taken), size).scatter_add_(1, taken, torch.ones_like(taken))


def mean_and_deviation(parts: Iterable[Tensor]) -> tuple[float, float]:
    """Mean and standard deviation (n - 1) over all values of all parts, each part read once."""
    count, mean, squares = 0, 0.0, 0.0
    for part in parts:
        # Merging the parts' own moments loses nothing where the mean is large.
        variance, average = (float(x) for x in torch.var_mean(part.float(), correction=0))
        size = part.numel()
        distance = average - mean
        squares += variance * size + distance**2 * count * size / (count + size)
        count += size
        mean += distance * size / count
    return mean, math.sqrt(squares / (count - 1)) if count > 1 else 0.0


def count_large(
    parts: Iterable[Tensor], mean: float, deviation: float, thresholds: Sequence[float]
) -> Tensor:
    """How often each code's weight is far from the mean.

    Args:
        parts: (n, N) regression weights, a part of the tokens at a time.
        mean: of all weights.
        deviation: standard deviation of all weights.
        thresholds: distances that count as far, in standard deviations.

    Returns:
        (thresholds, N) integers.
    """
    counts: Tensor | int = 0
    for part in parts:
        distance = (part.float() - mean).abs()
        large = [(distance > threshold * deviation).sum(dim=0) for threshold in thresholds]
        counts = torch.stack(large) + counts
    assert isinstance(counts, Tensor)
    return counts


def diagnose_codes(counts: Tensor, codebooks: int) -> dict[str, Tensor]:
    """What counts of codes say of the codebooks.

    Args:
        counts: (heads, N) as from `count_codes`; heads that share a codebook stand together.
        codebooks: number of codebooks, each with the same number of heads.

    Returns:
        - `perplexity`: mean over heads, as the published code has it.
        - `usage`: share of a codebook's codes that any of its heads took, mean over codebooks.
    """
    taken = counts.unflatten(0, (codebooks, -1)).sum(dim=1)
    return {"perplexity": perplexity(counts).mean(), "usage": usage(taken).mean()}


def diagnose_weights(weights: Callable[[], Iterable[Tensor]]) -> dict[str, Tensor]:
    """What regression weights say of their codebook (A.4).

    Args:
        weights: gives all weights, (n, N) of some tokens at a time; called twice, once for their
            mean and deviation and once to count, so that they are never held all at once.

    Returns:
        `perplexity_2` and `usage_2` for weights more than 2 standard deviations from the mean,
        `perplexity_3` and `usage_3` for 3, and `perplexity` and `usage`, the means of both (as in
        Figures 7 and 8).
    """
    mean, deviation = mean_and_deviation(weights())
    counts = count_large(weights(), mean, deviation, THRESHOLDS)
    found = {}
    for name, values in (("perplexity", perplexity(counts)), ("usage", usage(counts))):
        found[name] = values.mean()
        for threshold, value in zip(THRESHOLDS, values, strict=True):
            found[f"{name}_{threshold}"] = value
    return found
