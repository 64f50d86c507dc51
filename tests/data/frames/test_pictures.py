"""Folders of pictures: order, gaps, sizes, colours, and damaged files by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from weathersvq.data.frames import open_frames
from weathersvq.data.frames.names import inside, last_number, natural_order
from weathersvq.errors import InputError

Make = Callable[..., Path]


def test_one_folder_is_a_clip(make_pictures: Make, tmp_path: Path) -> None:
    make_pictures(tmp_path / "a", [*range(8, 13)], "frame{}.png")  # 8, 9, 10: not 10, 11, 12, 8
    (tmp_path / "a" / "notes.txt").write_text("not a picture")
    frames = open_frames(tmp_path / "a", validation=0, test=0)
    assert [(clip.name, clip.length) for clip in frames.clips] == [("a", 5)]
    assert frames.shape == (5, 1, 6, 8)
    assert frames.read(np.array([0, 4, 2]))[:, 0, 1, 1].tolist() == [8, 12, 10]


def test_folders_are_clips(make_pictures: Make, tmp_path: Path) -> None:
    for number, split in ((2, "train"), (10, "train"), (1, "test")):
        make_pictures(tmp_path / split / f"clip{number}", [0, 1, 2, 3], channels=3)
    frames = open_frames(tmp_path, form="pictures", validation=["train/clip10"], test=["test/*"])
    assert [(clip.name, clip.split) for clip in frames.clips] == [
        ("test/clip1", "test"), ("train/clip2", "train"), ("train/clip10", "validation")
    ]  # fmt: skip
    assert frames.channels.names == ("red", "green", "blue")


def test_a_missing_picture_is_named(make_pictures: Make, tmp_path: Path) -> None:
    make_pictures(tmp_path / "a", [0, 5, 10, 20, 25])
    with pytest.raises(InputError, match=r"a/image_0015.png is missing: image_0020.png follows"):
        open_frames(tmp_path / "a")
    frames = open_frames(tmp_path / "a", gaps="split", validation=0, test=0)
    assert [(clip.name, clip.length) for clip in frames.clips] == [
        ("a[image_0000.png]", 3), ("a[image_0020.png]", 2)
    ]  # fmt: skip
    (tmp_path / "a" / "image_0005.png").unlink()  # after it was opened
    with pytest.raises(InputError, match=r"image_0005.png is missing"):
        frames.read(np.array([0, 1]))


def test_other_sizes_are_named_or_made_one(make_pictures: Make, tmp_path: Path) -> None:
    make_pictures(tmp_path / "a", [0, 1, 2])
    make_pictures(tmp_path / "a", [3], size=(7, 8))
    frames = open_frames(tmp_path / "a", validation=0, test=0)
    with pytest.raises(InputError, match=r"image_0003.png is 7 x 8 pixels, others are 6 x 8"):
        frames.read(np.arange(4))
    resized = open_frames(tmp_path / "a", size=[4, 4], validation=0, test=0)
    assert resized.read(np.arange(4))[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert resized.shape == (4, 1, 4, 4)


def test_damaged_pictures_are_named(make_pictures: Make, tmp_path: Path) -> None:
    make_pictures(tmp_path / "a", [0, 1, 2, 3, 4], "f{}.png", size=(60, 80))
    make_pictures(tmp_path / "a", [5], "f{}.png", size=(60, 80))
    whole = (tmp_path / "a" / "f2.png").read_bytes()
    (tmp_path / "a" / "f2.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "a" / "f3.png").write_bytes(b"")
    (tmp_path / "a" / "f4.png").write_bytes(b"<html>not found</html>")
    frames = open_frames(tmp_path / "a", validation=0, test=0)
    for number in (2, 3, 4):
        with pytest.raises(
            InputError, match=rf"f{number}.png is damaged or not a picture"
        ) as caught:
            frames.read(np.array([number]))
        assert "\n" not in str(caught.value)
    assert frames.read(np.array([1, 5]))[:, 0, 0, 0].tolist() == [1, 5]
    (tmp_path / "a" / "f0.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"f0.png is damaged"):
        open_frames(tmp_path / "a")


def test_colour_and_grey(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    colour = np.zeros((4, 5, 3), np.uint8)
    colour[:] = (100, 50, 200)
    Image.fromarray(colour[:, :, 0]).save(folder / "0.png")
    Image.fromarray(colour[:, :, [0, 0, 0]]).save(folder / "1.png")
    Image.fromarray(colour).save(folder / "2.png")
    grey = open_frames(folder, validation=0, test=0)  # as the first one is
    assert grey.read(np.array([0, 1])).shape == (2, 1, 4, 5)
    with pytest.raises(InputError, match=r"2.png is in colour, grey is expected"):
        grey.read(np.array([2]))
    luminance = open_frames(folder, colour="luminance", validation=0, test=0)
    # 0.299 * 100 + 0.587 * 50 + 0.114 * 200 = 82.05
    assert luminance.read(np.arange(3))[:, 0, 0, 0].tolist() == [100, 100, 82]
    with pytest.raises(InputError, match=r"0.png is grey, colour is expected"):
        open_frames(folder, colour="colour")


def test_sixteen_bits(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for number in range(3):
        Image.fromarray(np.full((4, 5), 1000 * number, np.uint16)).save(
            tmp_path / "a" / f"{number}.png"
        )
    frames = open_frames(tmp_path / "a", validation=0, test=0)
    assert frames.channels.high == 65535
    assert frames.read(np.array([2]))[0, 0, 0, 0] == 2000


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no pictures"):
        open_frames(tmp_path, form="pictures")
    with pytest.raises(InputError, match=r"is not a folder"):
        open_frames(__file__, form="pictures")


def test_names() -> None:
    assert sorted(["b10", "b9", "a", "10", "b"], key=natural_order) == ["10", "a", "b", "b9", "b10"]
    assert last_number("S1_a.54138969_000121.jpg") == ("S1_a.54138969_", 121, ".jpg")
    assert last_number("cover.jpg") == ("cover", None, ".jpg")


@pytest.mark.parametrize("name", ["../a", "/etc/a", "b/../../a", "C:\\a", "..\\a"])
def test_paths_of_lists_stay_inside(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"which lies outside of"):
        inside(tmp_path, name, "list.txt line 3")
    assert inside(tmp_path, "b/../a", "list.txt") == tmp_path / "b" / ".." / "a"
