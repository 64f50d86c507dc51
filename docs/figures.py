"""Draws the two figures of the page on concepts: the flow of the data, and the model.

python docs/figures.py      # docs/pictures/flow.svg and model.svg
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

PICTURES = Path(__file__).parent / "pictures"

# Labels (xarray), tensors (torch) and what may be left out: told apart by lightness, too.
LABELS, TENSORS, OPTIONAL, EDGE, TEXT = "#cfe3f2", "#f6d8ae", "#ffffff", "#44546a", "#1d2733"
ARROW: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 13, "color": EDGE, "linewidth": 1.3}


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty page of width x height units, one unit being an inch."""
    figure = plt.figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def box(
    axes: Axes,
    centre: tuple[float, float],
    size: tuple[float, float],
    title: str,
    note: str = "",
    *,
    colour: str = LABELS,
    dashed: bool = False,
) -> None:
    """A box with a title and, below it, what it does."""
    (x, y), (width, height) = centre, size
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2), width, height,
            boxstyle="round,pad=0,rounding_size=0.08", facecolor=colour, edgecolor=EDGE,
            linewidth=1.2, linestyle="--" if dashed else "-",
        )
    )  # fmt: skip
    middle: dict[str, Any] = {"ha": "center", "va": "center", "color": TEXT}
    lift = 0.085 * (1 + note.count("\n")) if note else 0.0
    axes.text(x, y + lift, title, fontsize=10.5, weight="bold", **middle)
    if note:
        axes.text(x, y - 0.13, note, fontsize=8.3, linespacing=1.25, **middle)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], **style: Any) -> None:
    axes.add_patch(FancyArrowPatch(start, end, **{**ARROW, "shrinkA": 0, "shrinkB": 0, **style}))


def draw_flow() -> Figure:
    """From an archive to a verified forecast, in the order of the modules."""
    figure, axes = canvas(9.6, 3.9)
    size, columns, rows = (1.5, 0.84), (0.95, 2.87, 4.8, 6.73, 8.65), (3.2, 1.95, 0.7)
    notes = {
        "sources": "NetCDF, GRIB, Zarr,\nURLs, frames",
        "regrid": "any regular grid\nto any other",
        "prepare": "checked, flagged,\none Zarr store",
        "normalize": "statistics of the\ntraining split",
        "windows": "which times\nbelong together",
        "batches": "labels become\ntensors here",
        "model": "encoder, quantizer,\ntranslator, decoder",
        "train": "best epoch chosen\non validation",
        "checkpoint": "weights, scales,\nconfig: one file",
        "forecast": "tensors become\nlabels again",
        "output": "CF NetCDF, or\nWeatherBench Zarr",
        "verify": "by lead, weighted,\nbeside baselines",
        "maps": "forecast, truth,\nerror",
    }
    # The middle row runs from right to left; the last starts below the checkpoint.
    lines = (
        ["sources", "regrid", "prepare", "normalize", "windows"],
        ["", "checkpoint", "train", "model", "batches"],
        ["", "forecast", "output", "verify", "maps"],
    )
    places = {
        title: (column, row)
        for line, row in zip(lines, rows, strict=True)
        for title, column in zip(line, columns, strict=True)
        if title
    }
    for title, place in places.items():
        colour = TENSORS if title in ("batches", "model", "train", "checkpoint") else LABELS
        box(axes, place, size, title, notes[title], colour=colour)
    route = [*lines[0], *lines[1][:0:-1], *lines[2][1:]]
    for one, other in pairwise(route):
        link(axes, places[one], places[other], size)
    # A forecast reads its inputs from a source, too.
    corner = (columns[0], rows[2])
    axes.plot([corner[0]] * 2, [rows[0] - size[1] / 2, rows[2]], color=EDGE, linewidth=1.3)
    arrow(axes, corner, (columns[1] - size[0] / 2, rows[2]))
    axes.text(0.86, 1.95, "inputs of a forecast", rotation=90, fontsize=8.3, color=TEXT,
              ha="right", va="center")  # fmt: skip
    legend(axes, (0.2, 0.32), {"labelled fields (xarray)": LABELS, "tensors (torch)": TENSORS})
    return figure


def draw_model() -> Figure:
    """SimVP with the quantizer at both places where it may stand, and SVQ from inside."""
    figure, axes = canvas(9.6, 4.6)
    row, size = 3.35, (1.36, 1.0)
    columns = {"encoder": 1.72, "before": 3.35, "translator": 4.98, "after": 6.61, "decoder": 8.24}
    box(
        axes,
        (columns["encoder"], row),
        size,
        "encoder",
        "each frame by itself:\nN_S convolutions",
        colour=TENSORS,
    )
    box(
        axes,
        (columns["before"], row),
        size,
        "quantizer",
        "before (default):\neach latent vector",
        colour=OPTIONAL,
    )
    box(
        axes,
        (columns["translator"], row),
        size,
        "translator",
        "all frames at once:\nN_T blocks",
        colour=TENSORS,
    )
    box(
        axes,
        (columns["after"], row),
        size,
        "quantizer",
        "or after it",
        colour=OPTIONAL,
        dashed=True,
    )
    box(
        axes,
        (columns["decoder"], row),
        size,
        "decoder",
        "each frame by itself:\nN_S convolutions",
        colour=TENSORS,
    )
    places = [(x, row) for x in columns.values()]
    for one, other in pairwise(places):
        link(axes, one, other, size)
    edge = size[0] / 2
    arrow(axes, (0.62, row), (columns["encoder"] - edge, row))
    arrow(axes, (columns["decoder"] + edge, row), (9.3, row))
    plain: dict[str, Any] = {"fontsize": 8.3, "color": TEXT, "linespacing": 1.25}
    axes.text(0.1, row, "B, T,\nC,\nH, W", va="center", **plain)
    axes.text(9.52, row, "B, T,\nC,\nH, W", va="center", ha="right", **plain)
    # The skip leaves the encoder's first block.
    top = row + size[1] / 2
    axes.plot([columns["encoder"]] * 2, [top, top + 0.35], color=EDGE, linewidth=1.3)
    axes.plot([columns["encoder"], columns["decoder"]], [top + 0.35] * 2, color=EDGE, linewidth=1.3)
    arrow(axes, (columns["decoder"], top + 0.35), (columns["decoder"], top))
    axes.text(
        columns["translator"],
        top + 0.41,
        "skip from the encoder's first block",
        ha="center",
        va="bottom",
        **plain,
    )
    below = row - size[1] / 2 - 0.12
    axes.text(
        1.2,
        below,
        "B T, D, H / 2$^k$, W / 2$^k$",
        ha="center",
        va="top",
        **plain,
    )
    axes.text(6.2, below, "B, T D, H / 2$^k$, W / 2$^k$", ha="center", va="top", **plain)

    low, small = 1.1, (1.24, 0.84)
    axes.add_patch(FancyBboxPatch((0.45, 0.2), 8.7, 1.75, boxstyle="round,pad=0,rounding_size=0.1",
                                  facecolor="#f5f7fa", edgecolor=EDGE, linewidth=0.9, linestyle=":"))  # fmt: skip
    for x, above in ((columns["before"] - edge, 0.45), (columns["before"] + edge, 9.15)):
        axes.plot(
            [x, above],
            [row - size[1] / 2, 1.95],
            color=EDGE,
            linewidth=0.7,
            linestyle=":",
            zorder=0,
        )
    chain = [
        (1.28, "z", "a latent vector,\nlength D"),
        (3.02, "L1, ReLU", "to width K"),
        (4.76, "L2", "to N weights W,\none a code"),
        (6.5, "codebook M", "N codes of\nlength D"),
        (8.24, "Q = W M", "weighted sum of\ncodes, length D"),
    ]
    for x, title, note in chain:
        box(
            axes,
            (x, low),
            small,
            title,
            note,
            colour=LABELS if title in ("z", "Q = W M") else TENSORS,
        )
    for (x, *_), (to_x, *_) in pairwise(chain):
        link(axes, (x, low), (to_x, low), small)
    axes.text(0.6, 1.76, "SVQ from inside", weight="bold", va="center", **plain)
    # L2 and M are two matrices with nothing between them.
    left, right = 4.76 - small[0] / 2, 6.5 + small[0] / 2
    axes.plot([left, left, right, right], [0.62, 0.54, 0.54, 0.62], color=EDGE, linewidth=1.0)
    axes.text((left + right) / 2, 0.5, "computed as one matrix, M$^T$ L2 (K to D): the weights W are never made",
              ha="center", va="top", **plain)  # fmt: skip
    return figure


def link(
    axes: Axes, one: tuple[float, float], other: tuple[float, float], size: tuple[float, float]
) -> None:
    """An arrow between two boxes of the same row or the same column."""
    (x, y), (to_x, to_y) = one, other
    reach = size[0] / 2 if y == to_y else size[1] / 2
    if y == to_y:
        way = 1 if to_x > x else -1
        arrow(axes, (x + way * reach, y), (to_x - way * reach, y))
    else:
        arrow(axes, (x, y - reach), (to_x, to_y + reach))


def legend(axes: Axes, corner: tuple[float, float], entries: dict[str, str]) -> None:
    """Squares of colour with what they stand for, one below the other."""
    for number, (name, colour) in enumerate(entries.items()):
        x, y = corner[0], corner[1] - 0.2 * number
        axes.add_patch(
            Rectangle((x, y - 0.06), 0.16, 0.12, facecolor=colour, edgecolor=EDGE, linewidth=0.8)
        )
        axes.text(x + 0.24, y, name, fontsize=8.3, color=TEXT, va="center")


def save(figure: Figure, name: str) -> Path:
    """As SVG, the same bytes each time, its letters as outlines."""
    path = PICTURES / f"{name}.svg"
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path


if __name__ == "__main__":
    mpl.rcParams.update({"svg.fonttype": "path", "svg.hashsalt": "weathersvq"})
    for name, draw in (("flow", draw_flow), ("model", draw_model)):
        print(f"wrote {save(draw(), name)}")
