"""Animations: each frame its own values and time, colours that stay, files complete or absent."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import QuadMesh
from PIL import Image, ImageSequence

from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.maps import animate, save_animation
from weathersvq.maps.animation import DOTS_PER_INCH, few_colours

Make = Callable[..., xr.DataArray]
BRITAIN = Grid(np.arange(50, 58.25, 0.5), np.arange(-10, 2.25, 0.5))


def test_frames_of_a_gif(make_course: Make, tmp_path: Path) -> None:
    course = make_course(3, BRITAIN)
    told: list[tuple[int, int]] = []
    path = tmp_path / "new" / "a.gif"
    moving = animate(course, frames_per_second=5)
    written = save_animation(moving, path, report=lambda done, of: told.append((done, of)))
    assert written == path
    assert told == [(1, 3), (2, 3), (3, 3)]
    with Image.open(path) as gif:
        assert gif.n_frames == 3  # type: ignore[attr-defined]
        assert gif.info["duration"] == 200
        assert gif.info["loop"] == 0
        frames = [np.asarray(f.convert("RGB"), int) for f in ImageSequence.Iterator(gif)]
    # 280 + lead rises evenly: by then the lightness of the middle of the map does, too.
    high, wide = frames[0].shape[:2]
    middle = [f[high // 2 - 9 : high // 2 + 9, wide // 2 - 9 : wide // 2 + 9] for f in frames]
    light = [float(np.median(part.sum(axis=-1))) for part in middle]
    assert light[0] < light[1] < light[2]
    assert list(path.parent.iterdir()) == [path]


def test_colours_and_texts_of_frames(make_course: Make) -> None:
    course = make_course(4, BRITAIN)
    truth = (course - 1).rename("t2m_truth")
    moving = animate(course, truth, title="Mine")
    figure = moving._fig  # type: ignore[attr-defined]
    meshes = [c for axes in figure.axes for c in axes.collections if isinstance(c, QuadMesh)]
    meshes = [mesh for mesh in meshes if mesh.get_array().size > 300]
    limits = []
    for frame in range(4):
        moving._draw_frame(frame)  # type: ignore[attr-defined]
        limits.append([(mesh.norm.vmin, mesh.norm.vmax) for mesh in meshes])
        means = [float(mesh.get_array().mean()) for mesh in meshes]
        assert means == [281 + frame, 280 + frame, 1]
        assert figure._suptitle.get_text() == (
            f"Mine\ninit 2017-01-01 06:00 UTC,  lead {frame + 1} h,  "
            f"valid 2017-01-01 {7 + frame:02}:00 UTC"
        )
    assert all(each == limits[0] for each in limits)
    assert limits[0][0] == limits[0][1]
    moving._draw_was_started = True  # type: ignore[attr-defined]


def test_a_broken_end_leaves_the_old_file(make_course: Make, tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(b"old")

    def stop(done: int, of: int) -> None:
        if done == 2:
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        save_animation(animate(make_course(2, BRITAIN)), path, report=stop)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_stopped_before_the_first_frame(make_course: Make, tmp_path: Path) -> None:
    def stop(done: int, of: int) -> None:
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        save_animation(animate(make_course(2, BRITAIN)), tmp_path / "a.gif", report=stop)
    assert list(tmp_path.iterdir()) == []


def test_rare_colours_are_kept() -> None:
    # Every shade of two channels, and 30 dark red pixels among 65,536.
    pixels = np.zeros((256, 256, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(256)[:, None], np.arange(256)
    pixels[..., 2] = 255
    pixels[0, :30] = [140, 10, 30]
    few = few_colours(Image.fromarray(pixels))
    kept = np.asarray(few.convert("RGB"))
    assert len(np.unique(kept.reshape(-1, 3), axis=0)) <= 256
    assert np.abs(kept[0, :30].astype(int) - [140, 10, 30]).max() <= 8
    assert np.abs(kept.astype(int) - pixels).max() <= 32


def test_mp4_goes_through_ffmpeg(
    make_course: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = animate(make_course(2, BRITAIN))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"a.mp4 needs ffmpeg.*; name a.gif instead"):
        save_animation(moving, tmp_path / "a.mp4")
    # A stand-in for ffmpeg that keeps what it is given: raw frames, four bytes a pixel.
    fake = tmp_path / "ffmpeg"
    fake.write_text('#!/bin/sh\nfor last; do :; done\nexec /bin/cat > "$last"\n')
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    save_animation(moving, tmp_path / "a.mp4")
    pixels = np.prod((np.array(moving._fig.get_size_inches()) * DOTS_PER_INCH).astype(int))  # type: ignore[attr-defined]
    assert (tmp_path / "a.mp4").stat().st_size == 2 * 4 * pixels


def test_what_cannot_move(make_course: Make) -> None:
    course = make_course(2, BRITAIN)
    with pytest.raises(InputError, match=r"expected .lead_time or time, latitude, longitude"):
        animate(course.isel(lead_time=0))
    with pytest.raises(InputError, match="0 frames per second"):
        animate(course, frames_per_second=0)
    with pytest.raises(InputError, match="differ in lead_time"):
        animate(course, make_course(3, BRITAIN, "t2m_truth"))
    moving = animate(course)
    with pytest.raises(InputError, match=r"ends in '.avi'; expected .gif or .mp4"):
        save_animation(moving, "a.avi")
    moving._draw_was_started = True  # type: ignore[attr-defined]
