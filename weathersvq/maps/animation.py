"""A forecast in motion, its colours the same from the first frame to the last."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import xarray as xr
from matplotlib.animation import AbstractMovieWriter, FFMpegWriter, FuncAnimation
from matplotlib.artist import Artist
from matplotlib.backend_bases import TimerBase
from matplotlib.figure import Figure
from PIL import Image

from weathersvq.atomic import atomic_path
from weathersvq.errors import InputError
from weathersvq.maps.colours import colours_of, error_colours
from weathersvq.maps.fields import quantity_of, same_places, with_dims
from weathersvq.maps.figures import check_suffix
from weathersvq.maps.sheet import Panel, side_by_side
from weathersvq.maps.words import error_label, heading, moments, quantity_label

MOVING = (".gif", ".mp4")
DOTS_PER_INCH = 100
# Of the maps' width beside that of still figures: a moving picture holds many of them.
SCALE = 0.8


def animate(
    field: xr.DataArray,
    truth: xr.DataArray | None = None,
    *,
    title: str | None = None,
    note: str | None = None,
    frames_per_second: float = 4,
) -> FuncAnimation:
    """A map that moves through leads or times; with the truth, forecast, truth and error.

    Args:
        field: dims (lead_time or time, latitude, longitude), named as its variable.
        truth: the same form; missing values where nothing is known.
        title: before the time of each frame; default: quantity and level.
        note: small print below.

    Returns:
        To be saved by `save_animation`, or shown in a notebook by `.to_jshtml()`.

    Raises:
        InputError: other dims, an unknown name, a truth of other times or another grid, a speed
            that is not above zero.
    """
    if not frames_per_second > 0:
        raise InputError(f"{frames_per_second} frames per second; expected a number above zero")
    field = with_dims(field, "lead_time", "time")
    quantity = quantity_of(field)
    label = quantity_label(quantity)
    fields = [field]
    panels = [("", colours_of(fields, quantity), label)]
    if truth is not None:
        truth = with_dims(truth, str(field.dims[0]))
        same_places(field, truth)
        fields = [field, truth, field - truth]
        shared = colours_of(fields[:2], quantity)
        panels = [
            ("Forecast", shared, label),
            ("Truth", shared, label),
            ("Error", error_colours(fields[2]), error_label(quantity)),
        ]
    along = str(field.dims[0])

    def text(frame: int) -> str:
        one = field.isel({along: frame})
        name = quantity.long_name[:1].upper() + quantity.long_name[1:]
        return heading("", name, one) if title is None else f"{title}\n{moments(one)}"

    sheet = side_by_side(
        [Panel(each.isel({along: 0}), *panel) for each, panel in zip(fields, panels, strict=True)],
        text(0),
        note,
        scale=SCALE,
    )
    sheet.figure.set_dpi(DOTS_PER_INCH)

    def update(frame: int) -> list[Artist]:
        for number, each in enumerate(fields):
            sheet.show(number, each.isel({along: frame}))
        sheet.set_heading(text(frame))
        return list(sheet.meshes)

    return FuncAnimation(
        sheet.figure, update, frames=field.sizes[along], interval=1000 / frames_per_second
    )


def save_animation(
    animation: FuncAnimation,
    path: Path | str,
    *,
    report: Callable[[int, int], None] = lambda _done, _of: None,
) -> Path:
    """Write an animation as GIF or, where ffmpeg is, MP4 (by suffix), complete or not at all.

    Args:
        report: told which frame, from 1, of how many is being drawn.

    Raises:
        InputError: another suffix, an MP4 without ffmpeg, a folder that can't be written.
    """
    path = check_movie(path)
    timer = animation.event_source
    assert isinstance(timer, TimerBase)
    gif = _GifWriter(timer.interval)
    with atomic_path(path) as fresh:
        animation.save(
            fresh,
            writer=gif if path.suffix == ".gif" else "ffmpeg",
            progress_callback=lambda frame, of: report(frame + 1, of),
        )
    return path


def check_movie(path: Path | str) -> Path:
    """The path of an animation, if it can be written here; to be asked before it is drawn.

    Raises:
        InputError: another suffix than .gif and .mp4, an .mp4 without ffmpeg.
    """
    path = check_suffix(path, MOVING)
    if path.suffix == ".mp4" and not FFMpegWriter.isAvailable():
        raise InputError(
            f"writing {path} needs ffmpeg, which is not on this machine; "
            f"name {path.with_suffix('.gif').name} instead, or install ffmpeg"
        )
    return path


class _GifWriter(AbstractMovieWriter):
    """One palette for all frames: colours don't flicker, and the file is half as large.

    Pillow's own choice of colours drops rare ones, such as those of the largest errors.
    """

    def __init__(self, milliseconds: int) -> None:
        super().__init__()
        self.milliseconds = milliseconds
        self.frames: list[Image.Image] = []

    def setup(self, fig: Figure, outfile: Any, dpi: float | None = None) -> None:
        super().setup(fig, outfile, dpi)
        self.frames = []

    def grab_frame(self, **savefig_kwargs: Any) -> None:
        drawn = BytesIO()
        self.fig.savefig(drawn, **savefig_kwargs, format="rgba", dpi=self.dpi)
        frame = Image.frombytes("RGBA", self.frame_size, drawn.getvalue())
        self.frames.append(frame.convert("RGB"))

    def finish(self) -> None:
        if not self.frames:
            return  # stopped before the first was drawn
        # Colours are taken from three frames: they are fixed, and most occur in each.
        some = (self.frames[0], self.frames[len(self.frames) // 2], self.frames[-1])
        sample = Image.new("RGB", (self.frame_size[0], len(some) * self.frame_size[1]))
        for number, frame in enumerate(some):
            sample.paste(frame, (0, number * self.frame_size[1]))
        palette = few_colours(sample)
        plain = Image.Dither.NONE
        first, *others = (each.quantize(palette=palette, dither=plain) for each in self.frames)
        first.save(
            self.outfile, save_all=True, append_images=others, duration=self.milliseconds,
            loop=0,
        )  # fmt: skip


def few_colours(picture: Image.Image) -> Image.Image:
    """A picture in 256 colours that keep its rare ones, too, at no more than a tenth off."""
    return picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=3)
