"""What the codebook does in the runs: t-SNE, distributions, sparsity, latent maps, the theorem."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from weathersvq.checkpoint import load_checkpoint
from weathersvq.codes.covering import SHARE, codes_needed, errors_by_size
from weathersvq.codes.measures import (
    WeightStatistics,
    codebook_of,
    distribution_of,
    embed,
    latents_of,
    sample_vectors,
    weight_statistics,
)
from weathersvq.codes.pictures import (
    draw_covering,
    draw_densities,
    draw_embeddings,
    draw_latent_maps,
    draw_weights,
)
from weathersvq.grid import Grid
from weathersvq.models.forecaster import Forecaster
from weathersvq.reproduce.results import Finished, by_experiment, paper_value
from weathersvq.reproduce.views.base import (
    Part,
    Picture,
    Shown,
    figure_text,
    label,
    of_first_seed,
    spread,
    table,
)
from weathersvq.series import open_series
from weathersvq.training.runs import MODEL_FILE

METHODS = {
    "nearest": "nearest code",
    "sparse": "sparse regression",
    "sparse_as_theorem": "sparse regression, the theorem's number of codes",
}
# Vectors of each model that t-SNE lays out beside its codes.
VECTORS = 2000
# Of the test split, evenly, for statistics of the weights.
WINDOWS = 16


def _model_and_windows(run: Finished, count: int = WINDOWS) -> tuple[Forecaster, torch.Tensor]:
    """The model, and normalised inputs of windows that lie evenly over the test split."""
    checkpoint = load_checkpoint(run.folder / MODEL_FILE)
    series = open_series(run.run.experiment.data)
    batches = series.batches(checkpoint.normalization, "test", 1)
    step = max(1, len(batches) // count)
    chosen = [batch.inputs for n, batch in enumerate(batches) if n % step == 0][:count]
    return checkpoint.build(), torch.cat(chosen)


def _statistics(run: Finished) -> WeightStatistics:
    return weight_statistics(*_model_and_windows(run))


def _names(runs: Sequence[Finished]) -> list[str]:
    return [label(run.run.values) or run.run.study for run in runs]


def embedding(shown: Shown) -> Part:
    """Codes and quantized vectors of each model, laid out by t-SNE (Figure 1)."""
    runs = of_first_seed(shown.finished)
    found = {}
    for name, run in zip(_names(runs), runs, strict=True):
        model, windows = _model_and_windows(run)
        vectors = sample_vectors(latents_of(model, windows).after, VECTORS)
        found[name] = embed(codebook_of(model), vectors)
    caption = (
        f"Codes and {VECTORS:,} quantized vectors of test windows, laid out by t-SNE, which keeps "
        f"neighbours and neither distances nor densities; seed {runs[0].run.seed}."
    )
    return Part(pictures=[Picture(draw_embeddings(found), caption)])


def weights(shown: Shown) -> Part:
    """Distributions of regression weights and codebook (Figure 5), first seed."""
    runs = of_first_seed(shown.finished)
    found = {}
    for name, run in zip(_names(runs), runs, strict=True):
        model, windows = _model_and_windows(run)
        codebook = distribution_of(codebook_of(model))
        found[name] = (weight_statistics(model, windows).distribution, codebook)
    caption = (
        "Regression weights of test windows and the codebook, each normalised by its own mean and "
        f"deviation, with excess kurtosis (0: normal); seed {runs[0].run.seed}."
    )
    return Part(pictures=[Picture(draw_weights(found), caption)])


def kurtosis(shown: Shown) -> Part:
    """Sparsity of the regression weights beside the paper's kurtosis (Table 8, Figure 5)."""
    assert shown.study is not None
    rows = []
    for key, members in by_experiment(shown.finished).items():
        found = [_statistics(each) for each in members]
        rows.append([
            *key,
            spread([each.distribution.kurtosis for each in found]),
            figure_text(paper_value(shown.study, members[0].run.values, "Kurtosis")),
            spread([100 * each.near_zero for each in found], 3),
            spread([100 * each.carriers for each in found], 3),
            spread([each.perplexity[2] for each in found], 4),
            spread([each.perplexity[3] for each in found], 4),
            spread([100 * each.usage[3] for each in found], 3),
        ])  # fmt: skip
    header = [
        *shown.study.axes, "excess kurtosis of W", "paper: kurtosis",
        "weights below 1% of the largest [%]", "weights that carry 99% of the sum [%]",
        "perplexity, 2 deviations", "perplexity, 3 deviations", "codes used, 3 deviations [%]",
    ]  # fmt: skip
    note = (
        f"Regression weights W of {WINDOWS} windows that lie evenly over the test split, normalised "
        "by their own mean and deviation; mean and standard deviation over seeds."
    )
    return Part([*table(header, rows), note, ""])


def density(shown: Shown) -> Part:
    """Distribution of the latent vectors before and after the quantizer (Figure 9)."""
    runs = of_first_seed(shown.finished)
    found = {}
    for name, run in zip(_names(runs), runs, strict=True):
        latents = latents_of(*_model_and_windows(run))
        found[name] = (distribution_of(latents.before), distribution_of(latents.after))
    caption = (
        "Latent vectors of test windows before and after the quantizer, each normalised by its own "
        f"mean and deviation; seed {runs[0].run.seed}."
    )
    return Part(pictures=[Picture(draw_densities(found), caption)])


def latents(shown: Shown) -> Part:
    """Latent maps of one test window before and after the quantizer (Figures 10 to 14)."""
    run = shown.finished[0]
    model, windows = _model_and_windows(run, 3)
    grid = load_checkpoint(run.folder / MODEL_FILE, weights=False).grid
    # The middle one: no corner case of the period's beginning.
    drawn = draw_latent_maps(
        latents_of(model, windows),
        first_row="bottom" if isinstance(grid, Grid) else "top",
        window=min(1, len(windows) - 1),
    )
    caption = (
        "Latent maps of a test window at its last input step, before and after the quantizer, in "
        f"deviations of their own; seed {run.run.seed}."
    )
    return Part(pictures=[Picture(drawn, caption)])


def covering(shown: Shown) -> Part:
    """Theorem 4.1: codes that bring vectors of the unit ball within a distance."""
    smoke = shown.scale == "smoke"
    needed = codes_needed((2, 4), vectors=200) if smoke else codes_needed()
    errors = errors_by_size((2, 4), sizes=(4, 16, 64), vectors=200) if smoke else errors_by_size()
    rows = [
        [
            str(each.dimension), METHODS[each.method], str(each.at_most),
            f"more than {each.tried:,}" if each.codes is None else f"{each.codes:,}",
            f"{'at least' if each.method == 'nearest' else 'at most'} {each.bound:.3g}",
        ]
        for each in needed
    ]  # fmt: skip
    header = [
        "dimension", "method", "codes a vector",
        f"codes needed, distance {needed[0].delta:g} for {SHARE:.0%}", "bound of the theorem",
    ]  # fmt: skip
    caption = (
        f"Left: random codes that bring {SHARE:.0%} of random vectors of the unit ball within "
        f"{needed[0].delta:g}; right: the distance that {SHARE:.0%} stay below. The theorem is of "
        "all vectors and of the best codes; these are of random ones."
    )
    return Part(table(header, rows), [Picture(draw_covering(needed, errors), caption)])
