"""Frames of any form as sequences of pictures of one size: one file a form.

- base: what frames are; splits, resizing, names: what several forms need;
- arrays (stores): npy, npz, HDF5, Zarr; pictures; videos (norpix);
- taxibj, kth, kitticaltech, human36m: the published benchmarks;
- store: any of them once and for all in Zarr.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError, validate_call

from weathersvq.data.frames import pictures, videos
from weathersvq.data.frames.arrays import open_array_frames
from weathersvq.data.frames.base import Channels, Clip, Frames
from weathersvq.data.frames.human36m import has_human36m_form, open_human36m
from weathersvq.data.frames.kitticaltech import has_kitticaltech_form, open_kitticaltech
from weathersvq.data.frames.kth import has_kth_form, open_kth
from weathersvq.data.frames.pictures import open_pictures
from weathersvq.data.frames.store import is_frame_store, open_frame_store, write_frame_store
from weathersvq.data.frames.stores import HDF5_SUFFIXES
from weathersvq.data.frames.taxibj import has_taxibj_form, open_taxibj
from weathersvq.data.frames.videos import open_videos
from weathersvq.errors import InputError, near_misses

__all__ = [
    "FORMS",
    "Channels",
    "Clip",
    "Frames",
    "guess_form",
    "is_frame_store",
    "open_frame_store",
    "open_frames",
    "write_frame_store",
]

# A form's name, and what opens it; a new form is one more line.
FORMS: Mapping[str, Callable[..., Frames]] = {
    "store": open_frame_store,
    "arrays": open_array_frames,
    "pictures": open_pictures,
    "videos": open_videos,
    "taxibj": open_taxibj,
    "kth": open_kth,
    "kitticaltech": open_kitticaltech,
    "human36m": open_human36m,
}


def open_frames(source: str | os.PathLike[str], form: str | None = None, **options: Any) -> Frames:
    """Open frames of any form, without reading more of them than one.

    Args:
        source: a file or a folder.
        form: one of `FORMS`; found out if None.
        options: of the form: the keyword arguments of what opens it.

    Raises:
        InputError: nothing there, an unknown form or option, a form that can't be found out; and
            what the form's own reader says.
    """
    path = Path(source)
    if "://" in str(source):
        raise InputError(f"{source} is not on this machine; copy the frames to a disk of it first")
    if not path.exists():
        raise InputError(f"{source} does not exist; give a file or a folder of frames")
    form = guess_form(path) if form is None else form
    if form not in FORMS:
        raise InputError(
            f"unknown form of frames {form!r}{near_misses(form, FORMS)}; known: {', '.join(FORMS)}"
        )
    opener = FORMS[form]
    known = list(inspect.signature(opener).parameters)[1:]
    for name in options:
        if name not in known:
            raise InputError(
                f"{name!r} is not an option of frames of form {form}{near_misses(name, known)}; "
                f"it has {', '.join(known) or 'none'}"
            )
    try:
        return validate_call(opener)(path, **options)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise InputError(
            f"option {name} of frames of form {form} is {options.get(name)!r}: {first['msg']}"
        ) from error


def guess_form(path: Path) -> str:
    """The form of what lies at a path, where only one fits.

    Raises:
        InputError: none, or several.
    """
    for form, fits in _BENCHMARK_SIGNS.items():
        if fits(path):
            return form
    found = [form for form, fits in _SIGNS.items() if fits(path)]
    if len(found) == 1:
        return found[0]
    what = f"could be {' or '.join(found)}" if found else "is of no form that is known"
    raise InputError(
        f"{path} {what}; say what it is with the option `form`: one of {', '.join(FORMS)}"
    )


def _has_files(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether a file, or one at or below a folder, is called so."""
    if path.is_file():
        return path.suffix.lower() in suffixes
    return any(
        name.lower().endswith(suffixes) and not name.startswith(".")
        for _, _, names in os.walk(path)
        for name in names
    )


def _is_array_file(path: Path) -> bool:
    if path.is_dir():
        marks = (".zgroup", ".zarray", "zarr.json")
        return any((path / mark).exists() for mark in marks)
    return path.suffix.lower() in (".npy", ".npz", *HDF5_SUFFIXES, ".pkl", ".pickle")


# Looked at first: a benchmark's folder holds pictures or arrays, too.
_BENCHMARK_SIGNS: Mapping[str, Callable[[Path], bool]] = {
    "store": is_frame_store,
    "taxibj": has_taxibj_form,
    "kth": has_kth_form,
    "kitticaltech": has_kitticaltech_form,
    "human36m": has_human36m_form,
}
_SIGNS: Mapping[str, Callable[[Path], bool]] = {
    "arrays": _is_array_file,
    "pictures": lambda path: path.is_dir() and _has_files(path, pictures.SUFFIXES),
    "videos": lambda path: _has_files(path, videos.SUFFIXES),
}
