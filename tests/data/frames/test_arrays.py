"""Arrays of frames: every layout gives the same frames, and no pickle is ever opened."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr

from weathersvq.data.frames import open_frames
from weathersvq.data.frames import stores as stores_module
from weathersvq.data.frames.arrays import LAYOUTS, ArrayFrames
from weathersvq.data.frames.base import GREY, Clip
from weathersvq.errors import InputError


def numbered(count: int) -> np.ndarray:
    """(T, 1, 6, 8) of which frame t is filled with t."""
    return (
        np.full((1, 1, 6, 8), 1, np.uint8) * np.arange(count, dtype=np.uint8)[:, None, None, None]
    )


# (N, T, C, H, W): 3 sequences of 5 frames.
VALUES = np.random.default_rng(0).integers(0, 256, (3, 5, 2, 6, 8)).astype(np.uint8)


def laid_out(layout: str) -> np.ndarray:
    values = VALUES
    letters = "ntchw"
    for letter in "nc":
        if letter not in layout:
            values = values.take(0, axis=letters.index(letter))
            letters = letters.replace(letter, "")
    return np.ascontiguousarray(values.transpose([letters.index(letter) for letter in layout]))


def save_npy(path: Path, values: np.ndarray) -> Path:
    np.save(path.with_suffix(".npy"), values)
    return path.with_suffix(".npy")


def save_fortran(path: Path, values: np.ndarray) -> Path:
    return save_npy(path, np.asfortranarray(values))


def save_npz(path: Path, values: np.ndarray) -> Path:
    np.savez(path.with_suffix(".npz"), ids=np.arange(4), frames=values)
    return path.with_suffix(".npz")


def save_packed(path: Path, values: np.ndarray) -> Path:
    np.savez_compressed(path.with_suffix(".npz"), frames=values)
    return path.with_suffix(".npz")


def save_hdf5(path: Path, values: np.ndarray) -> Path:
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file["group/frames"] = values
        file["lengths"] = np.arange(3)
    return path.with_suffix(".h5")


def save_zarr(path: Path, values: np.ndarray) -> Path:
    zarr.save_array(str(path.with_suffix(".zarr")), values, zarr_format=3)
    return path.with_suffix(".zarr")


def save_zarr_group(path: Path, values: np.ndarray) -> Path:
    group = zarr.open_group(str(path.with_suffix(".zarr")), mode="w", zarr_format=2)
    group.create_array("frames", data=values, chunks=tuple(max(1, s // 2) for s in values.shape))
    return path.with_suffix(".zarr")


SAVERS = (save_npy, save_fortran, save_npz, save_packed, save_hdf5, save_zarr, save_zarr_group)


@pytest.mark.parametrize("save", SAVERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_every_file(
    save: Callable[[Path, np.ndarray], Path], layout: str, tmp_path: Path
) -> None:
    frames = open_frames(
        save(tmp_path / "a", laid_out(layout)), layout=layout, validation=0, test=0
    )
    expected = VALUES if "n" in layout else VALUES[:1]
    expected = expected if "c" in layout else expected[:, :, :1]
    assert frames.shape == (expected.shape[0] * 5, *expected.shape[2:])
    assert [clip.length for clip in frames.clips] == [5] * expected.shape[0]
    flat = expected.reshape(-1, *expected.shape[2:])
    for positions in ([0, 2, 4], [4, 1, 1], list(range(len(flat)))):
        np.testing.assert_array_equal(frames.read(np.asarray(positions)), flat[positions])
    assert frames.read_clip(0, [1, 3]).dtype == np.uint8


def test_a_large_compressed_npz_is_read_as_a_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores_module, "MEMORY_BYTES", 100)
    path = save_packed(tmp_path / "a", laid_out("tnchw"))
    frames = open_frames(path, layout="tnchw", validation=0, test=0)
    np.testing.assert_array_equal(frames.read(np.array([14, 3, 7])), [
        VALUES[2, 4], VALUES[0, 3], VALUES[1, 2]
    ])  # fmt: skip
    packed = save_packed(tmp_path / "f", np.asfortranarray(laid_out("tnchw")))
    with pytest.raises(InputError, match=r"Fortran order.*\.npy"):
        open_frames(packed, layout="tnchw").read(np.array([0]))


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((9, 6, 8), "thw"),
        ((9, 3, 6, 8), "tchw"),
        ((9, 1, 6, 8), "tchw"),
        ((9, 6, 8, 3), "thwc"),
        ((2, 9, 3, 6, 8), "ntchw"),
        ((2, 9, 6, 8, 1), "nthwc"),
    ],
)
def test_guessed_layouts(shape: tuple[int, ...], layout: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    frames = open_frames(tmp_path / "a.npy", validation=0, test=0)
    assert frames.layout == layout  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "shape", [(20, 100, 64, 64), (6, 8, 3), (9, 3, 6, 3), (2, 9, 2, 6, 8), (2, 9, 1, 6, 1)]
)
def test_ambiguous_shapes_list_the_choices(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    with pytest.raises(InputError, match=r"can't be guessed.*option `layout`: ") as caught:
        open_frames(tmp_path / "a.npy")
    for name in LAYOUTS:
        listed = str(caught.value).split("`layout`: ")[1].split(" (")[0].split(", ")
        assert (name in listed) == (len(name) == len(shape))


def test_frames_in_memory() -> None:
    clips = (Clip("a", 4), Clip("b", 5))
    frames = ArrayFrames("here", clips, GREY, (6, 8), array=numbered(9))
    assert frames.read(np.array([8, 0, 4]))[:, 0, 1, 1].tolist() == [8, 0, 4]
    np.testing.assert_array_equal(frames.read_clip(1, [0, 2]), numbered(9)[[4, 6]])


def test_moving_mnist(tmp_path: Path) -> None:
    # 20 frames of 6 sequences; all of it is a test set, as published.
    values = np.arange(120, dtype=np.uint8).reshape(20, 6, 1, 1) * np.ones((4, 5), np.uint8)
    np.save(tmp_path / "mnist_test_seq.npy", values)
    frames = open_frames(tmp_path / "mnist_test_seq.npy", layout="tnhw", validation=0, test=1)
    assert [clip.split for clip in frames.clips] == ["test"] * 6
    # Frame t of sequence n is 6 t + n: sequence 2, frames 0 and 19.
    assert frames.read(np.array([40, 59]))[:, 0, 0, 0].tolist() == [2, 116]


def test_sequence_ids_cut_an_array(tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", numbered(9))
    np.save(tmp_path / "ids.npy", np.array([4, 4, 4, 7, 7, 1, 1, 1, 1]))
    frames = open_frames(tmp_path / "data.npy", sequences="ids.npy", validation=0.3, test=0.3)
    clips = [(clip.name, clip.length, clip.split) for clip in frames.clips]
    # In natural order 1, 4, 7: the last one, of 2 frames, is below 0.3 of 9, so 4 goes to test,
    # too, and only sequence 1 is left, which then is validation's.
    assert clips[0] == ("sequence 4", 3, "test")
    assert [name for name, _, _ in clips] == ["sequence 4", "sequence 7", "sequence 1"]
    assert frames.read(np.array([3]))[0, 0, 1, 1] == 3
    np.savez(tmp_path / "both.npz", data=numbered(9), ids=np.array(list("aabbbcccc")))
    named = open_frames(tmp_path / "both.npz", sequences="ids", validation=0, test=0)
    assert [clip.length for clip in named.clips] == [2, 3, 4]
    for name, ids in (("few", np.arange(8)), ("real", np.arange(9.0))):
        np.save(tmp_path / f"{name}.npy", ids)
        with pytest.raises(InputError, match=rf"{name}.npy.*expected 9 whole numbers"):
            open_frames(tmp_path / "data.npy", sequences=f"{name}.npy")
    with pytest.raises(InputError, match=r"'none.npy'.*nor a file"):
        open_frames(tmp_path / "data.npy", sequences="none.npy")


def test_channels_units_and_range(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((2, 4, 2, 3, 5), 280.0, np.float32))
    frames = open_frames(
        tmp_path / "a.npy", layout="ntchw", channels=["t", "q"], units=["K", "1"], low=200, high=300
    )
    assert frames.channels.names == ("t", "q")
    assert frames.channels.units == ("K", "1")
    assert frames.read(np.array([0]))[0, 0, 0, 0] == 280
    undeclared = open_frames(tmp_path / "a.npy", layout="ntchw")
    with pytest.raises(InputError, match=r"from 280 to 280, outside of the declared range 0 to 1"):
        undeclared.read(np.array([0]))
    with pytest.raises(InputError, match=r"channels names 1, but .* has 2"):
        open_frames(tmp_path / "a.npy", layout="ntchw", channels=["t"])
    np.save(tmp_path / "b.npy", np.zeros((4, 3, 5), np.int16))
    with pytest.raises(InputError, match=r"int16.*give `low` and `high`"):
        open_frames(tmp_path / "b.npy")
    np.save(tmp_path / "c.npy", np.full((4, 3, 5), np.nan))
    with pytest.raises(InputError, match="from nan to nan"):
        open_frames(tmp_path / "c.npy").read(np.array([0]))


class Bomb:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return pytest.fail, ("a pickle was opened",)


def npz_with(path: Path, name: str, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)
    return path


def object_npy() -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.array([Bomb()] * 8).reshape(2, 2, 2), allow_pickle=True)
    return file.getvalue()


def test_pickles_in_disguise_are_named_and_never_opened(tmp_path: Path) -> None:
    bomb = pickle.dumps(Bomb())
    (tmp_path / "plain.npy").write_bytes(bomb)
    (tmp_path / "objects.npy").write_bytes(object_npy())
    npz_with(tmp_path / "plain.npz", "frames.npy", bomb)
    npz_with(tmp_path / "objects.npz", "frames.npy", object_npy())
    (tmp_path / "list.pkl").write_bytes(bomb)
    with h5py.File(tmp_path / "objects.h5", "w") as file:
        file.create_dataset("frames", (2, 2, 2), h5py.vlen_dtype(np.uint8))
    for name in ("plain.npy", "objects.npy", "plain.npz", "objects.npz", "list.pkl", "objects.h5"):
        with pytest.raises(InputError, match="pickle of Python objects") as caught:
            open_frames(tmp_path / name, form="arrays")
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_members_that_would_unpack_outside_stay_where_they_are(tmp_path: Path) -> None:
    file = io.BytesIO()
    np.save(file, numbered(4))
    inner = tmp_path / "inner"
    inner.mkdir()
    path = npz_with(inner / "a.npz", "../../escaped.npy", file.getvalue())
    frames = open_frames(path, validation=0, test=0)
    assert frames.read(np.array([3]))[0, 0, 1, 1] == 3
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.npz", "inner"]


def test_arrays_in_other_files_are_not_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["frames"] = numbered(4)
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["frames"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "frames")
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout((4, 1, 6, 8), np.uint8)
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "frames", (4, 1, 6, 8))
        file.create_virtual_dataset("frames", layout)
    with pytest.raises(InputError, match="lies in another file"):
        open_frames(tmp_path / "link.h5")
    with pytest.raises(InputError, match="in other files, which are not followed"):
        open_frames(tmp_path / "virtual.h5")


def test_damaged_and_wrong_files(tmp_path: Path) -> None:
    np.save(tmp_path / "whole.npy", numbered(20))
    whole = (tmp_path / "whole.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:500])
    (tmp_path / "text.npy").write_text("no numbers here")
    (tmp_path / "header.npy").write_bytes(whole[:8] + b"\x00" * 200)
    np.savez_compressed(tmp_path / "whole.npz", a=np.random.default_rng(0).random((90, 6, 8)))
    packed = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "flipped.npz").write_bytes(packed[:20000] + b"\xff" * 60 + packed[20060:])
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 30)
    (tmp_path / "empty.zarr").mkdir()
    np.savez(tmp_path / "two.npz", a=numbered(4), b=numbered(4))
    np.save(tmp_path / "text.npy.npy", np.full((2, 3, 4), "a"))
    np.save(tmp_path / "none.npy", np.zeros((0, 6, 8), np.uint8))
    for name, message, options in (
        ("cut.npy", "cut off", {}),
        ("text.npy", "not a file of arrays", {}),
        ("header.npy", "damaged npy", {}),
        ("cut.npz", "damaged", {}),
        ("a.h5", "damaged", {}),
        ("empty.zarr", "not a Zarr store", {}),
        ("two.npz", r"2 arrays that could be frames.*option `key`", {}),
        ("two.npz", "has no array 'c'; it has a, b", {"key": "c"}),
        ("text.npy.npy", "expected numbers", {}),
        ("none.npy", "is empty", {}),
        ("whole.npy", "layout 'thw' has 3 axes", {"layout": "thw"}),
        ("whole.npy", "layout 'wht' is unknown", {"layout": "wht"}),
    ):
        with pytest.raises(InputError, match=message) as caught:
            open_frames(tmp_path / name, form="arrays", **options)
        assert "\n" not in str(caught.value)
        assert name in str(caught.value) or "layout" in str(caught.value)
    flipped = open_frames(tmp_path / "flipped.npz", validation=0, test=0)
    with pytest.raises(InputError, match=r"flipped.npz is damaged"):
        flipped.read(np.arange(90))


def test_ten_gigabytes_in_less_than_one(tmp_path: Path) -> None:
    """A sparse file: windows from all over it, read as training does, and then a pass in order."""
    path, count = tmp_path / "big.npy", 10 * 2**30 // (128 * 128)
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, 128, 128)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + count * 128 * 128)
    if path.stat().st_blocks * 512 > 2**20:
        pytest.skip("the file system has no sparse files")
    code = f"""
        import numpy as np
        from weathersvq.data.frames import open_frames
        from weathersvq.data.windows import Offsets, clip_windows

        frames = open_frames({str(path)!r}, validation=0, test=0)
        clips = frames.clips
        offsets = Offsets(tuple(range(-9, 1)), tuple(range(1, 11)))
        windows = clip_windows(
            frames.starts, np.array([c.length for c in clips]), np.array([1]), offsets
        )
        assert windows.origins.size == {count} - 19
        steps = np.array(offsets.inputs + offsets.targets)
        order = np.random.default_rng(0).permutation(windows.origins)[:1600]
        for start in range(0, 1600, 16):
            assert not frames.read((order[start : start + 16, None] + steps).ravel()).any()
        for start in range(0, 20_000, 2000):
            frames.read(np.arange(start * 30, start * 30 + 2000))
        for line in open("/proc/self/status"):
            if line.startswith("VmHWM"):
                print(line.split()[1])
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert int(result.stdout) < 1_000_000  # kB
