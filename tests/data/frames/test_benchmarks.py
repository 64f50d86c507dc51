"""The published benchmarks: small trees in their forms, windows counted by hand, published counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import h5py
import hickle
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from weathersvq.data.frames import open_frames, write_frame_store
from weathersvq.data.frames.base import Frames, Split
from weathersvq.data.frames.kth import STRIDES
from weathersvq.data.frames.resizing import Resize
from weathersvq.data.windows import Offsets, Windows, clip_windows
from weathersvq.errors import InputError

Make = Callable[..., Path]


def windows(frames: Frames, split: Split | None, inputs: int, targets: int) -> Windows:
    """Of one split, or of the published training set, which is `train` and `validation`."""
    wanted = ("train", "validation") if split is None else (split,)
    chosen = [i for i, clip in enumerate(frames.clips) if clip.split in wanted]
    clips = [frames.clips[i] for i in chosen]
    return clip_windows(
        frames.starts[chosen],
        np.asarray([clip.length for clip in clips], np.intp),
        np.asarray([clip.stride for clip in clips], np.intp),
        Offsets(tuple(range(1 - inputs, 1)), tuple(range(1, targets + 1))),
    )


def count(frames: Frames, split: Split | None, inputs: int, targets: int) -> int:
    return windows(frames, split, inputs, targets).origins.size


# TaxiBJ


def taxibj(path: Path, training: int, testing: int, dtype: type = np.float32) -> Path:
    rng = np.random.default_rng(0)
    arrays = {
        f"{name}_{part}": rng.uniform(-1, 1, (number, 4, 2, 32, 32)).astype(dtype)
        for name in "XY"
        for part, number in (("train", training), ("test", testing))
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def test_taxibj(tmp_path: Path) -> None:
    path = taxibj(tmp_path / "taxibj" / "dataset.npz", 25, 3)
    for source in (path, path.parent, tmp_path):  # found out from any of them
        frames = open_frames(source)
        assert frames.channels.names == ("inflow", "outflow")
    assert frames.step == "30 min"
    # 10 % of 25 samples is 2.5: the last 3.
    assert [len(frames.of_split(s)) for s in ("train", "validation", "test")] == [22, 3, 3]
    assert frames.of_split("validation").tolist() == [22, 23, 24]
    assert "the last 3 of 25 training samples" in frames.comment
    assert (count(frames, None, 4, 4), count(frames, "test", 4, 4)) == (25, 3)
    with np.load(path) as file:
        arrays = dict(file)
    sample = np.concatenate([arrays["X_train"][6], arrays["Y_train"][6]])
    np.testing.assert_array_equal(frames.read(np.arange(48, 56)), sample)
    last = np.concatenate([arrays["X_test"][2], arrays["Y_test"][2]])
    np.testing.assert_array_equal(frames.read(np.arange(len(frames) - 8, len(frames))), last)
    # As published, (x + 1) / 2: what is declared as low and high becomes 0 and 1.
    assert (frames.channels.low, frames.channels.high) == (-1, 1)


def test_taxibj_of_the_published_size(tmp_path: Path) -> None:
    arrays = {
        f"{name}_{part}": np.zeros((number, 4, 2, 32, 32), np.int8)
        for name in "XY"
        for part, number in (("train", 20_461), ("test", 500))
    }
    np.savez_compressed(tmp_path / "dataset.npz", **arrays)
    frames = open_frames(tmp_path)
    assert (count(frames, None, 4, 4), count(frames, "test", 4, 4)) == (20_461, 500)
    assert count(frames, "validation", 4, 4) == 2047


def test_taxibj_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X_train=np.zeros((4, 4, 2, 3, 3)))
    with pytest.raises(InputError, match=r"a.npz has no array Y_train"):
        open_frames(tmp_path / "a.npz", form="taxibj")
    names = ("X_train", "Y_train", "X_test", "Y_test")
    np.savez(tmp_path / "b.npz", **dict.fromkeys(names, np.zeros((4, 4, 3, 5, 5))))
    with pytest.raises(InputError, match=r"expected \(N, T, 2, H, W\)"):
        open_frames(tmp_path / "b.npz")
    path = taxibj(tmp_path / "c.npz", 6, 2)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | {"Y_train": arrays["Y_train"][:5]})
    with pytest.raises(InputError, match=r"has 6 samples, .* 5; expected as many"):
        open_frames(path)
    arrays["X_train"][1, 2] = 1.5
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=r"frame 2 of train 1 in .*range -1 to 1"):
        open_frames(path).read(np.arange(48))
    with pytest.raises(InputError, match=r"neither TaxiBJ's dataset.npz"):
        open_frames(tmp_path, form="taxibj")


# KTH


def kth(root: Path, clips: dict[str, list[list[int]]]) -> Path:
    """Clips `person_action` with the numbers of their frames; the picture shows its number."""
    for action in STRIDES:
        (root / action).mkdir(parents=True, exist_ok=True)
    for name, runs in clips.items():
        person, action = name.split("_")
        folder = root / action / f"person{person}_{action}_d1_uncomp"
        folder.mkdir()
        for number in (n for run in runs for n in run):
            values = np.full((12, 16, 3), number % 256, np.uint8)
            Image.fromarray(values).save(folder / f"image_{number:04d}.png")
    return root


def test_kth(tmp_path: Path) -> None:
    root = kth(
        tmp_path,
        {
            "01_boxing": [list(range(1, 66))],  # 65 frames: 2 windows of 30
            "02_boxing": [list(range(1, 31)), list(range(50, 79))],  # 30 and 29 frames: 1 window
            "03_running": [list(range(1, 36))],  # 35 frames: starts 2, 5 are 3 apart: 2 windows
            "16_walking": [list(range(1, 91))],  # 3 windows
            "17_jogging": [list(range(1, 40)), list(range(60, 90))],  # 39: 4 windows; 30: 1
            "25_handwaving": [list(range(1, 60))],  # 1 window
        },
    )
    frames = open_frames(root)
    assert frames.shape[1:] == (1, 128, 128)
    assert frames.step == "40 ms"
    assert count(frames, None, 10, 20) == 2 + 1 + 2 + 3
    found = windows(frames, "test", 10, 20)
    assert found.origins.size == 4 + 1 + 1
    assert windows(frames, None, 10, 20).short_clips == 1
    # Validation has the last person whole: 90 of 249 training frames.
    assert {clip.group for clip in frames.clips if clip.split == "validation"} == {"person16"}
    assert "person16" in frames.comment
    # Windows are counted from the last frame: the first of the 65 starts at frame 6.
    origin = windows(frames, "train", 10, 20).origins[0]
    assert frames.read(np.array([origin - 9]))[0, 0, 64, 64] == 6
    assert count(open_frames(root, validation=0), "train", 10, 20) == 8


@settings(max_examples=200)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    stride=st.sampled_from([0, 3]),
    inputs=st.integers(1, 3),
    targets=st.integers(1, 4),
)
def test_windows_are_those_of_the_published_loader(
    lengths: list[int], stride: int, inputs: int, targets: int
) -> None:
    """It goes back through all frames, and after a window on by its length, or by 3."""
    length = inputs + targets
    # Windows shorter than the stride would make it jump into the clip before.
    assume(stride < length)
    clip_of = np.repeat(np.arange(len(lengths)), lengths)
    published = []
    last = clip_of.size - 1
    while last >= length - 1:
        if clip_of[last] == clip_of[last - length + 1]:
            published.append(last - length + 1)
            last -= stride or length
        else:
            last -= 1
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.intp)
    found = clip_windows(
        starts,
        np.asarray(lengths, np.intp),
        np.full(len(lengths), stride, np.intp),
        Offsets(tuple(range(1 - inputs, 1)), tuple(range(1, targets + 1))),
    )
    np.testing.assert_array_equal(found.origins - inputs + 1, published[::-1])


def test_kth_refused(tmp_path: Path) -> None:
    root = kth(tmp_path, {"01_boxing": [[1, 2, 3]], "02_boxing": [[1, 2, 3]]})
    frames = open_frames(root)
    (root / "boxing" / "person01_boxing_d1_uncomp" / "image_0002.png").write_bytes(b"\x89PNG")
    with pytest.raises(InputError, match=r"image_0002.png is damaged"):
        frames.read(np.arange(3))
    (root / "boxing" / "person26_boxing_d1_uncomp").mkdir()
    with pytest.raises(InputError, match=r"not of a person 01 to 25"):
        open_frames(root)
    (root / "running").rmdir()
    with pytest.raises(InputError, match=r"has no folder 'running'"):
        open_frames(root, form="kth")


# KittiCaltech


def caltech_video(path: Path, frames: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
        for number in range(frames):
            values = np.full((48, 64, 3), 2 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(values, format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv444p")))
        container.mux(stream.encode())


def kitti_hkl(root: Path, lengths: dict[str, int]) -> np.ndarray:
    names = [name for name, length in lengths.items() for _ in range(length)]
    data = np.random.default_rng(0).integers(0, 256, (len(names), 128, 160, 3)).astype(np.uint8)
    (root / "kitti_hkl").mkdir()
    hickle.dump(data, root / "kitti_hkl" / "X_train.hkl", mode="w")
    hickle.dump(names, root / "kitti_hkl" / "sources_train.hkl", mode="w")
    return data


DRIVES = {"city-a": 12, "city-b": 33, "road-a": 11, "road-b": 10, "walk-a": 25}


def test_kitti_and_caltech_videos(tmp_path: Path) -> None:
    data = kitti_hkl(tmp_path, DRIVES)
    caltech_video(tmp_path / "caltech" / "set06" / "V000.avi", 70)
    caltech_video(tmp_path / "caltech" / "set07" / "V001.avi", 20)
    (tmp_path / "caltech" / "set07" / "V001.seq").write_bytes(b"the same, not converted yet")
    frames = open_frames(tmp_path)
    assert frames.shape[1:] == (3, 128, 160)
    # floor(length / 11): 1 + 3 + 1 + 0 + 2.
    assert count(frames, None, 10, 1) == 7
    assert windows(frames, None, 10, 1).short_clips == 1
    # Every third frame: 23 and 6 of them.
    assert [clip.length for clip in frames.clips[-2:]] == [23, 6]
    assert count(frames, "test", 10, 1) == 2
    np.testing.assert_array_equal(frames.read(np.array([0, 50, 90])), (
        data[[0, 50, 90]].transpose(0, 3, 1, 2)
    ))  # fmt: skip
    # The first frame taken of a video is its third.
    values = frames.read(91 + np.array([0, 22, 23]))
    np.testing.assert_allclose(values[:, 1, 60, 80], [4, 136, 4], atol=2)
    # One drive from the middle of the list: 10 % of 91 frames are at most 11.
    assert [clip.name for clip in frames.clips if clip.split == "validation"] == ["road-a"]


def test_caltech_is_made_smaller_as_published() -> None:
    assert Resize((128, 160), "antialiased", "crop", rounded=False)(
        np.zeros((480, 640, 3), np.uint8)
    ).shape == (128, 160, 3)


def test_names_that_older_hickles_wrote(tmp_path: Path) -> None:
    kitti_hkl(tmp_path, {"a": 12, "b": 11})
    path = tmp_path / "kitti_hkl" / "sources_train.hkl"
    names = np.array([b"a"] * 12 + [b"b"] * 11)
    for key, values in (
        ("data_0", names),
        ("data", names),
        ("data_0", names.astype(h5py.string_dtype())),
    ):
        with h5py.File(path, "w") as file:
            file[key] = values
        frames = open_frames(tmp_path)
        assert [(clip.name, clip.length) for clip in frames.clips] == [("a", 12), ("b", 11)]
    hickle.dump(names, path, mode="w")
    assert len(open_frames(tmp_path).clips) == 2


class Thing:
    """hickle pickles what it does not know."""

    def __setstate__(self, state: object) -> None:
        pytest.fail("a pickle was opened")


@pytest.mark.filterwarnings("ignore::hickle.lookup.SerializedWarning")
def test_kitti_refused(tmp_path: Path) -> None:
    kitti_hkl(tmp_path, {"a": 12, "b": 11})
    sources = tmp_path / "kitti_hkl" / "sources_train.hkl"
    for values, message in (
        (["a"] * 22, r"has 22 names for the 23 frames"),
        ([Thing()] * 23, r"something other than a list of texts"),
        (np.arange(23), r"something other than a list of texts"),
    ):
        hickle.dump(values, sources, mode="w")
        with pytest.raises(InputError, match=message) as caught:
            open_frames(tmp_path)
        assert "sources_train.hkl" in str(caught.value)
    sources.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"sources_train.hkl is not a file of hickle"):
        open_frames(tmp_path)
    sources.unlink()
    with pytest.raises(InputError, match=r"sources_train.hkl does not exist"):
        open_frames(tmp_path)


def test_kitticaltech_npy(tmp_path: Path) -> None:
    folder = tmp_path / "kitticaltech_npy"
    folder.mkdir()
    rng = np.random.default_rng(0)
    # Drives of 24, 37 and 13 frames; the windows were made of 12: at 0 and 12, at 25, 37 and 49 (one
    # frame is left over), at 62. Published lists run backwards.
    data = rng.random((74, 6, 8, 3))
    np.save(folder / "train_data.npy", data)
    np.save(folder / "train_idx.npy", np.array([62, 49, 37, 25, 12, 0]))
    np.save(folder / "test_data.npy", rng.random((30, 6, 8, 3)))
    np.save(folder / "test_idx.npy", np.array([18, 6], np.int32))
    frames = open_frames(tmp_path)
    assert (count(frames, None, 10, 1), count(frames, "test", 10, 1)) == (6, 2)
    origins = windows(open_frames(tmp_path, validation=0), "train", 10, 1).origins
    values = open_frames(tmp_path, validation=0).read(origins - 9)
    np.testing.assert_array_equal(
        values, data[[0, 12, 25, 37, 49, 62]].transpose(0, 3, 1, 2).astype(np.float32)
    )
    groups = [clip.group for clip in frames.clips if clip.split != "test"]
    assert groups == [f"train drive {n}" for n in (0, 0, 1, 1, 1, 2)]
    assert [clip.split for clip in frames.clips[:6]].count("validation") == 3  # the middle drive
    with pytest.raises(InputError, match=r"train_idx.npy has a window of 13 frames from frame 62"):
        open_frames(tmp_path, window=13)
    np.save(folder / "train_idx.npy", np.array([[1, 2]]))
    with pytest.raises(InputError, match=r"train_idx.npy is of type int64 and shape \[1, 2\]"):
        open_frames(tmp_path)
    (folder / "train_idx.npy").unlink()
    with pytest.raises(InputError, match=r"train_idx.npy does not exist"):
        open_frames(tmp_path)


def test_kitticaltech_npy_of_the_published_size(tmp_path: Path) -> None:
    """3,160 and 3,095 windows: those of 12 + 1 frames, of which 10 -> 1 takes the first 11."""
    folder = tmp_path / "kitticaltech_npy"
    folder.mkdir()
    for split, number in (("train", 3160), ("test", 3095)):
        starts = np.arange(number) * 13 + np.arange(number) // 60  # a frame left over now and then
        np.save(folder / f"{split}_idx.npy", starts[::-1])
        with (folder / f"{split}_data.npy").open("wb") as file:
            shape = (int(starts[-1]) + 13, 128, 160, 3)
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            file.truncate(file.tell() + int(np.prod(shape)))
    frames = open_frames(tmp_path)
    assert (count(frames, None, 10, 1), count(frames, "test", 10, 1)) == (3160, 3095)


# Human3.6M


def human36m(root: Path, rows: dict[str, list[str]], frames: dict[str, range]) -> Path:
    (root / "images").mkdir(parents=True)
    for name, numbers in frames.items():
        for number in numbers:
            values = np.full((30, 30, 3), number % 256, np.uint8)
            Image.fromarray(values).save(root / "images" / f"{name}{number:06d}.jpg", quality=95)
    for name, lines in rows.items():
        (root / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return root


def test_human36m(tmp_path: Path) -> None:
    root = human36m(
        tmp_path,
        {
            "train": ["images/S1_Walk.55_,0", "images/S1_Walk.55_,5", "images/S8_Sit.60_,12", ""],
            "test": ["images/S11_Walk.55_,3"],
        },
        {"S1_Walk.55_": range(41), "S8_Sit.60_": range(50), "S11_Walk.55_": range(3, 39)},
    )
    frames = open_frames(root)
    assert frames.shape == (32, 3, 256, 256)
    assert frames.step == "100 ms"
    assert (count(frames, None, 4, 4), count(frames, "test", 4, 4)) == (3, 1)
    assert [clip.split for clip in frames.clips] == ["train", "train", "validation", "test"]
    # The eight frames of the second row are 5, 10 ... 40; of the last one 3, 8 ... 38.
    values = frames.read(np.arange(32))[:, 0, 100, 100]
    np.testing.assert_allclose(values[8:16], np.arange(5, 41, 5), atol=2)
    np.testing.assert_allclose(values[24:], np.arange(3, 39, 5), atol=2)
    # A picture from the middle of a row that is not there is named.
    (root / "images" / "S8_Sit.60_000022.jpg").unlink()
    with pytest.raises(InputError, match=r"S8_Sit.60_000022.jpg is missing"):
        frames.read(np.arange(16, 24))


def test_human36m_of_the_published_size(tmp_path: Path) -> None:
    root = human36m(tmp_path, {}, {"S1_Walk.55_": range(1)})
    people = {"train": (73_404, ("S1", "S5", "S6", "S7", "S8")), "test": (8_582, ("S9", "S11"))}
    for name, (number, persons) in people.items():
        lines = [
            f"images/{persons[i * len(persons) // number]}_Walk.55_,{i % 3000}"
            for i in range(number)
        ]
        (root / f"{name}.txt").write_text("\n".join(lines))
    frames = open_frames(root)
    assert (count(frames, None, 4, 4), count(frames, "test", 4, 4)) == (73_404, 8_582)
    assert {clip.group for clip in frames.clips if clip.split == "validation"} == {"S8"}
    assert not {c.group for c in frames.clips if c.split == "train"} & {"S8", "S9", "S11"}


def test_human36m_refused(tmp_path: Path) -> None:
    root = human36m(tmp_path / "root", {"train": []}, {"S1_a.1_": range(41)})
    for line, message in (
        ("../../etc/S1_a.1_,0", r"train.txt line 1 names '../../etc/S1_a.1_', which lies outside"),
        ("/etc/S1_a.1_,0", r"lies outside"),
        ("images/S1_a.1_", r"line 1 is 'images/S1_a.1_'; expected a path and a frame number"),
        ("images/S1_a.1_,-5", r"expected a path and a frame number"),
        ("images/S1_a.1_,soon", r"expected a path and a frame number"),
    ):
        (root / "train.txt").write_text(line + "\n")
        with pytest.raises(InputError, match=message):
            open_frames(root)
    (root / "train.txt").write_text("\n")
    with pytest.raises(InputError, match=r"lists of .* are empty"):
        open_frames(root)
    (root / "train.txt").unlink()
    with pytest.raises(InputError, match=r"neither train.txt nor test.txt"):
        open_frames(root, form="human36m")


# All of them


def test_any_form_becomes_a_store(tmp_path: Path) -> None:
    root = kth(tmp_path / "kth", {f"{n:02d}_running": [[1, 2, 3, 4, 5]] for n in (1, 2, 17)})
    frames = open_frames(root, size=[16, 16])
    stored = open_frames(write_frame_store(frames, tmp_path / "kth.zarr", form="kth"))
    assert stored.clips == frames.clips
    assert stored.comment == frames.comment
    for split in (None, "test"):
        np.testing.assert_array_equal(
            windows(stored, split, 2, 1).origins, windows(frames, split, 2, 1).origins
        )
    np.testing.assert_array_equal(stored.read(np.arange(15)), frames.read(np.arange(15)))
