"""Beside the flow: pictures of what the codebook does, from numbers of `codes` and `covering`.

Figures are matplotlib's own objects, made without pyplot. Blue and orange, and two shades of grey
below them, stay apart for all kinds of colour vision and in print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from weathersvq.errors import InputError

if TYPE_CHECKING:
    from weathersvq.codes.covering import CodesNeeded, ErrorOfSize
    from weathersvq.codes.measures import Distribution, Embedding, Latents

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "0.55"
# From few to many: they grow evenly darker, and markers tell them apart, too.
SHADES = ("#9ecae1", "#4292c6", "#08519c", "#081d58")
MARKERS = ("o", "s", "^", "D", "v", "P")
# Around zero; purple and orange.
SIGNED = "PuOr_r"
# Standard deviations that a picture of distributions shows.
REACH = 5.0
# Colours reach as far as this share of the values.
WITHIN = 99.5


def draw_embeddings(embeddings: Mapping[str, Embedding]) -> Figure:
    """Codes and quantized vectors in the plane of t-SNE, a panel for each model (Figure 1).

    Args:
        embeddings: by the name that stands above the panel; see `codes.embed`.
    """
    _require(embeddings)
    figure = Figure(figsize=(max(4.0, 3.6 * len(embeddings) + 0.2), 4.4), layout="constrained")
    rows = figure.subplots(1, len(embeddings), squeeze=False)[0]
    for axes, (name, embedding) in zip(rows, embeddings.items(), strict=True):
        vectors, codes = embedding.quantized, embedding.codes
        # Codes above: where vectors are copies of them, as in VQ, both still show.
        axes.scatter(*vectors.T, s=7, color=BLUE, alpha=0.55, linewidths=0, rasterized=True)
        axes.scatter(
            *codes.T, s=16, marker="^", facecolors="none", edgecolors=ORANGE, linewidths=0.7,
            rasterized=True,
        )  # fmt: skip
        axes.set_title(name, fontsize=10)
        # Distances in this plane have no unit, so it has no ticks either.
        axes.set_xlabel(f"{len(codes):,} codes, {len(vectors):,} vectors", fontsize=9)
        axes.set(xticks=[], yticks=[])
        axes.set_box_aspect(1)
    handles = [
        Line2D([], [], linestyle="", marker="^", markerfacecolor="none", color=ORANGE),
        Line2D([], [], linestyle="", marker="o", markersize=4, color=BLUE),
    ]
    figure.legend(
        handles, ["code", "quantized vector"], loc="outside lower center", ncols=2, frameon=False
    )
    figure.suptitle("Codes and quantized vectors by t-SNE", fontsize=11)
    return figure


def draw_weights(models: Mapping[str, tuple[Distribution, Distribution]]) -> Figure:
    """Distributions of regression weights and of the codebook, a panel for each model (Figure 5).

    Args:
        models: by name, the distributions of W and of the codebook.
    """
    return _draw_distributions(
        models,
        ("weights W", "codebook"),
        "Regression weights and codebook, each normalised",
        compared=True,
    )


def draw_densities(models: Mapping[str, tuple[Distribution, Distribution]]) -> Figure:
    """Densities of latent vectors on both sides of the quantizer (Figure 9).

    Each side is normalised by itself, so that shapes are compared and not scales.

    Args:
        models: by name, the distributions before and after.
    """
    return _draw_distributions(
        models,
        ("before the quantizer", "after"),
        "Values of the latent vectors, each side normalised",
        compared=False,
    )


def _draw_distributions(
    models: Mapping[str, tuple[Distribution, Distribution]],
    names: tuple[str, str],
    title: str,
    *,
    compared: bool,
) -> Figure:
    """Two distributions a panel; on one scale, where models are to be compared."""
    _require(models)
    figure = Figure(figsize=(max(4.6, 3.4 * len(models) + 0.4), 3.9), layout="constrained")
    rows = figure.subplots(1, len(models), squeeze=False, sharex=True, sharey=compared)[0]
    normal = np.linspace(-REACH, REACH, 201)
    for axes, (model, pair) in zip(rows, models.items(), strict=True):
        for name, colour, one in zip(names, (BLUE, ORANGE), pair, strict=True):
            label = f"{name}: {_kurtosis_text(one)}"
            if colour == BLUE:
                axes.stairs(one.density, one.edges, fill=True, color=colour, alpha=0.3)
            axes.stairs(
                one.density, one.edges, color=colour, linewidth=1.4, label=label,
                linestyle="-" if colour == BLUE else (0, (4, 1.5)),
            )  # fmt: skip
        gauss = np.exp(-(normal**2) / 2) / np.sqrt(2 * np.pi)
        axes.plot(normal, gauss, color=GREY, linewidth=0.9, linestyle=":", label="normal: 0")
        axes.set_title(model, fontsize=10)
        axes.set_xlim(-REACH, REACH)
        axes.grid(color="0.92", linewidth=0.6)
        axes.set_axisbelow(True)
        # Below the panel: above, it would lie on one peak or another.
        axes.legend(
            title="excess kurtosis", title_fontsize=8, fontsize=8, frameon=False,
            loc="upper center", bbox_to_anchor=(0.5, -0.2),
        )  # fmt: skip
        axes.set_ylim(bottom=0)
    rows[0].set_ylabel("density per standard deviation")
    for axes in rows:
        axes.set_xlabel("standard deviations from the mean")
    figure.suptitle(title, fontsize=11)
    return figure


def _kurtosis_text(one: Distribution) -> str:
    """With the share that the picture does not show, where there is any worth naming."""
    hidden = np.abs(one.edges[:-1]) >= REACH - 1e-9
    hidden &= np.abs(one.edges[1:]) >= REACH - 1e-9
    beyond = one.outside + float((one.density * np.diff(one.edges))[hidden].sum())
    return f"{one.kurtosis:.2f}" + (f" ({beyond:.1%} not shown)" if beyond >= 0.0005 else "")


def draw_latent_maps(
    latents: Latents,
    *,
    first_row: Literal["bottom", "top"],
    window: int = 0,
    step: int = -1,
    channels: Sequence[int] | None = None,
    title: str = "Latent maps before and after the quantizer",
) -> Figure:
    """Latent maps of one window and step, mean of all channels first (Figures 10 to 14).

    Each channel without its mean over the window, all in standard deviations of what is left, each
    side by itself: scales and offsets, which mean nothing across the quantizer, are gone.

    Args:
        latents: see `codes.latents_of`.
        first_row: where it belongs: at the bottom for fields, whose latitudes ascend, at the top
            for pictures.
        window: which of the batch.
        step: which of the input steps; the last by default.
        channels: to show; by default the three that vary most over space on both sides together.
        title: above the maps.

    Raises:
        InputError: a window, step or channel that there is not.
    """
    count, steps, depth = latents.before.shape[:3]
    wanted = [("window", window, count), ("step", step, steps)]
    for what, value, size in wanted + [("channel", each, depth) for each in channels or ()]:
        if not -size <= value < size:
            raise InputError(f"{what} {value} is not among the {size}, 0 to {size - 1}")
    # (D, H', W') each
    before, after = (_in_deviations(side[window])[step] for side in (latents.before, latents.after))
    if channels is None:
        variance = before.var(axis=(1, 2)) + after.var(axis=(1, 2))
        channels = np.argsort(-variance, kind="stable")[:3].tolist()

    columns = ["mean of channels"] + [f"channel {each % depth}" for each in channels]
    rows = [[side.mean(axis=0), *(side[each] for each in channels)] for side in (before, after)]
    height, width = before.shape[1:]
    # Inches of a map, and of the column that it stands in: names need some width.
    wide = 2.4 * min(1.0, width / height)
    column = max(wide, 1.5)
    size = (column * len(columns) + 0.6, 2 * wide * height / width + 1.9)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(2, len(columns), squeeze=False)
    # The mean varies less than its channels: its colours have limits of their own.
    bars = [slice(0, 1), slice(1, None)] if channels else [slice(0, 1)]
    for bar in bars:
        shown = np.abs(np.concatenate([np.ravel(field) for row in rows for field in row[bar]]))
        reach = float(np.percentile(shown, WITHIN)) or 1.0
        for axes_row, fields in zip(grid, rows, strict=True):
            for axes, field in zip(axes_row[bar], fields[bar], strict=True):
                image = axes.imshow(
                    field,
                    cmap=SIGNED,
                    norm=Normalize(-reach, reach),
                    origin="lower" if first_row == "bottom" else "upper",
                    interpolation="nearest",
                )
                axes.set(xticks=[], yticks=[])
        label = "of the mean" if bar.start == 0 else "of channels"
        drawn = figure.colorbar(
            image, ax=list(grid[:, bar].flat), location="bottom", shrink=0.9, aspect=25,
            extend="both" if (shown > reach).any() else "neither",
        )  # fmt: skip
        drawn.set_label(f"standard deviations\n{label}", fontsize=8)
        drawn.ax.tick_params(labelsize=8)
    _name_grid(grid, columns)
    figure.suptitle(title, fontsize=11)
    return figure


def _name_grid(grid: NDArray[np.object_], columns: Sequence[str]) -> None:
    for axes, name in zip(grid[0], columns, strict=True):
        axes.set_title(name, fontsize=9)
    for axes, name in zip(grid[:, 0], ("before", "after"), strict=True):
        axes.set_ylabel(name, fontsize=10)


def _in_deviations(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """(T, D, H, W) without each channel's mean, over the deviation of all that is left."""
    distance = values - values.mean(axis=(0, 2, 3), keepdims=True)
    return distance / (distance.std() or 1.0)


def draw_covering(needed: Sequence[CodesNeeded], errors: Sequence[ErrorOfSize]) -> Figure:
    """Theorem 4.1: codes needed over the dimension, and the error over the codebook's size.

    Args:
        needed: rows of one delta, see `covering.codes_needed`.
        errors: see `covering.errors_by_size`.

    Raises:
        InputError: no rows, or rows of several deltas.
    """
    deltas = sorted({row.delta for row in needed})
    if len(deltas) != 1 or not errors:
        raise InputError(
            f"rows of {len(deltas)} values of delta and {len(errors)} rows of errors; give rows of "
            "codes_needed for one delta and of errors_by_size"
        )
    figure = Figure(figsize=(12, 5.4), layout="constrained")
    growth, nearest, sparse = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
    _draw_growth(growth, needed)
    sides = {each: [row for row in errors if row.method == each] for each in ("nearest", "sparse")}
    counts = sorted({row.at_most for row in sides["sparse"]})
    titles = ("the nearest code", f"at most {' or '.join(map(str, counts))} codes")
    reach = 1.05 * max(row.error for row in errors)
    for axes, rows, title in zip((nearest, sparse), sides.values(), titles, strict=True):
        _draw_errors(axes, rows, deltas[0])
        # Where k reaches the dimension the error is nothing, and is to be seen.
        axes.set_ylim(-0.03 * reach, reach)
        axes.set_title(f"Error by {title}", fontsize=10)
    nearest.set_ylabel("distance that 99 % of the vectors stay below")
    figure.suptitle("Vectors of the unit ball made from random codes (Theorem 4.1)", fontsize=11)
    return figure


def _draw_growth(axes: Axes, needed: Sequence[CodesNeeded]) -> None:
    """Codes needed by each method, and the theorem's two bounds."""
    series: dict[tuple[str, int], list[CodesNeeded]] = {}
    for row in needed:
        # The theorem's own k is another one in each dimension.
        key = (row.method, 0 if row.method == "sparse_as_theorem" else row.at_most)
        series.setdefault(key, []).append(row)
    for number, ((method, count), rows) in enumerate(series.items()):
        found = [(row.dimension, row.codes) for row in rows if row.codes is not None]
        label = {
            "nearest": "nearest code",
            "sparse": f"at most {count} codes, weighted",
            "sparse_as_theorem": "at most as many as the theorem asks for (C = 1), "
            f"{rows[0].at_most} to {rows[-1].at_most}",
        }[method]
        axes.plot(
            *zip(*found, strict=True),
            color=ORANGE if method == "nearest" else SHADES[number % len(SHADES)],
            marker=MARKERS[number % len(MARKERS)],
            label=label,
        )
    for sparse, colour, label in (
        (False, ORANGE, "theorem: nearest code needs at least 1 / δᵈ"),
        (True, SHADES[-1], "theorem: sparse regression can do with (4 d / δ)ᵖ"),
    ):
        bounds = {row.dimension: row.bound for row in needed if (row.method != "nearest") == sparse}
        axes.plot(*zip(*bounds.items(), strict=True), color=colour, linestyle=":", label=label)
    axes.set_yscale("log")
    axes.set_xlabel("dimension d")
    axes.set_ylabel("codes N")
    axes.set_title(f"Codes that bring 99 % within δ = {needed[0].delta:g}", fontsize=10)
    axes.grid(color="0.92", linewidth=0.6)
    axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.13))


def _draw_errors(axes: Axes, rows: Sequence[ErrorOfSize], delta: float) -> None:
    """A line for each dimension."""
    dimensions = sorted({row.dimension for row in rows})
    for number, dimension in enumerate(dimensions):
        line = [(row.codes, row.error) for row in rows if row.dimension == dimension]
        axes.plot(
            *zip(*line, strict=True),
            color=SHADES[number % len(SHADES)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=4,
            label=f"d = {dimension}",
        )
    axes.axhline(delta, color=GREY, linestyle="--", linewidth=1, label=f"δ = {delta:g}")
    axes.set_xscale("log")
    axes.set_xlabel("codes N")
    axes.grid(color="0.92", linewidth=0.6)
    axes.legend(fontsize=8, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.13))


def _require(panels: Mapping[str, object]) -> None:
    if not panels:
        raise InputError("no model to draw; give at least one")
