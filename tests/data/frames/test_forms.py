"""Opening frames by name and by what is there; every form has its reader, every mistake its line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weathersvq.data.frames import FORMS, guess_form, names, open_frames
from weathersvq.errors import InputError


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_options_by_name_and_a_docstring(form: str) -> None:
    source, *options = inspect.signature(FORMS[form]).parameters.values()
    assert all(option.kind is option.KEYWORD_ONLY for option in options)
    for option in options:
        assert option.name in (FORMS[form].__doc__ or "")
    assert source.default is source.empty


def test_forms_are_found_out(tmp_path: Path, make_pictures: Callable[..., Path]) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 5, 6), np.uint8))
    make_pictures(tmp_path / "pictures", [1, 2])
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.MP4").write_bytes(b"")
    for action in ("boxing", "handclapping", "handwaving", "walking", "jogging", "running"):
        make_pictures(tmp_path / "kth" / action, [1])
    (tmp_path / "kittis" / "kitti_hkl").mkdir(parents=True)
    make_pictures(tmp_path / "people" / "images", [1])
    (tmp_path / "people" / "train.txt").write_text("")
    for name, form in (
        ("a.npy", "arrays"),
        ("pictures", "pictures"),
        ("videos", "videos"),
        ("kth", "kth"),
        ("kittis", "kitticaltech"),
        ("people", "human36m"),
    ):
        assert guess_form(tmp_path / name) == form
    (tmp_path / "videos" / "cover.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"videos could be pictures or videos; say .*`form`"):
        open_frames(tmp_path / "videos")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(InputError, match=r"notes.txt is of no form that is known"):
        open_frames(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    ("form", "options", "message"),
    [
        ("video", {}, r"unknown form of frames 'video'; did you mean 'videos'"),
        (None, {"layuot": "thw"}, r"'layuot' is not an option .*arrays; did you mean 'layout'"),
        (None, {"stride": "far"}, r"option stride of frames of form arrays is 'far': "),
        (None, {"validation": 3}, r"validation is 3; expected a share"),
        ("pictures", {"size": [4]}, r"option size of frames of form pictures is \[4\]: "),
    ],
)
def test_wrong_options(
    form: str | None, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 5, 6), np.uint8))
    with pytest.raises(InputError, match=message) as caught:
        open_frames(tmp_path / "a.npy", form, **options)
    assert "\n" not in str(caught.value)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.npy does not exist"):
        open_frames(tmp_path / "none.npy")
    with pytest.raises(InputError, match=r"gs://bucket/frames is not on this machine"):
        open_frames("gs://bucket/frames")


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(module: str) -> None:
        raise ImportError(module)

    monkeypatch.setattr(names.importlib, "import_module", missing)
    (tmp_path / "a.mp4").write_bytes(b"0000")
    (tmp_path / "a.h5").write_bytes(b"")
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "1.png").write_bytes(b"")
    for name, package in (("a.mp4", "av"), ("a.h5", "h5py"), ("a", "PIL")):
        with pytest.raises(InputError, match=rf"'{package}'.*pip install 'weathersvq\[video\]'"):
            open_frames(tmp_path / name)
