"""Videos: every frame is found where it is, in whatever order it is asked for."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from weathersvq.data.frames import open_frames
from weathersvq.data.frames.videos import EncodedVideo, open_video
from weathersvq.errors import InputError

COUNT = 40


def picture(number: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """(H, W, 3) of which the grey value is the frame's number times 6, with a red corner."""
    values = np.full((*size, 3), 6 * number % 256, np.uint8)
    values[: size[0] // 4, : size[1] // 4] = (250, 10, 10)
    return values


def encode(
    path: Path, codec: str, pixels: str, count: int = COUNT, keys: int = 12, frames_between: int = 0
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        stream.codec_context.gop_size = keys
        stream.codec_context.max_b_frames = frames_between
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            container.mux(stream.encode(frame.reformat(format=pixels)))
        container.mux(stream.encode())
    return path


FILES: dict[str, tuple[str, str, int]] = {
    "lossless.mkv": ("ffv1", "yuv444p", 0),
    "xvid.avi": ("mpeg4", "yuv420p", 0),
    "between.avi": ("mpeg4", "yuv420p", 2),
    "h264.mp4": ("libx264", "yuv420p", 3),
    "motion.avi": ("mjpeg", "yuvj420p", 0),
    "mpeg.mpg": ("mpeg2video", "yuv420p", 2),
    "bare.h264": ("libx264", "yuv420p", 2),  # without times
}


@pytest.mark.parametrize("name", FILES)
def test_any_order_gives_the_right_frames(name: str, tmp_path: Path) -> None:
    codec, pixels, between = FILES[name]
    path = encode(tmp_path / name, codec, pixels, frames_between=between)
    frames = open_frames(path, "videos", validation=0, test=0)
    assert frames.shape == (COUNT, 3, 48, 64)
    assert frames.step == "40 ms"
    with av.open(str(path)) as container:  # from the first to the last, as a player does
        played = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    expected = np.stack(played).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(expected[:, 1, 30, 40], 6 * np.arange(COUNT), atol=9)
    for positions in ([0], [39], [5, 6, 7], [3, 30], [1], [11, 12, 13], [25], [24], range(COUNT)):
        numbers = list(positions)
        np.testing.assert_array_equal(frames.read(np.asarray(numbers)), expected[numbers])
    red, green, _ = frames.read(np.array([20]))[0, :, 3, 3]
    assert red > 200
    assert green < 60


def test_every_third_frame_resized_and_cropped(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", "ffv1", "yuv444p")
    frames = open_frames(path, every=3, first=2, size=[24, 24], fit="crop", validation=0, test=0)
    # Frames 2, 5, 8 ... 38: 13 of them.
    assert frames.shape == (13, 3, 24, 24)
    assert frames.step == "120 ms"
    np.testing.assert_allclose(
        frames.read(np.array([0, 4, 12]))[:, 1, 20, 20], [12, 84, 228], atol=2
    )


def test_grey_and_colour(tmp_path: Path) -> None:
    grey = encode(tmp_path / "grey.mkv", "ffv1", "gray")
    colour = encode(tmp_path / "colour.mkv", "ffv1", "yuv444p")
    assert open_frames(grey, validation=0, test=0).shape == (COUNT, 1, 48, 64)
    luminance = open_frames(colour, colour="luminance", validation=0, test=0)
    assert luminance.shape == (COUNT, 1, 48, 64)
    # 0.299 * 250 + 0.701 * 10 = 81.8
    np.testing.assert_allclose(luminance.read(np.array([7]))[0, 0, 3, 3], 82, atol=3)
    with pytest.raises(InputError, match=r"frame 7 of .*colour.mkv is in colour, grey is expected"):
        open_frames(colour, colour="grey", validation=0, test=0).read(np.array([7]))


def test_a_folder_of_videos(tmp_path: Path) -> None:
    for name, count in (("b/v10.avi", 9), ("b/v2.avi", 8), ("a/v1.avi", 7)):
        encode(tmp_path / name, "mpeg4", "yuv420p", count)
    (tmp_path / "b" / "v2.txt").write_text("labels")
    frames = open_frames(tmp_path, validation=["b/v10.avi"], test=["a/*"])
    assert [(clip.name, clip.length, clip.split) for clip in frames.clips] == [
        ("a/v1.avi", 7, "test"), ("b/v2.avi", 8, "train"), ("b/v10.avi", 9, "validation")
    ]  # fmt: skip
    # Positions 3, 7 + 4, 15 + 5: frames 3, 4 and 5 of the three files.
    values = frames.read(np.array([20, 3, 11]))[:, 1, 30, 40]
    np.testing.assert_allclose(values, [30, 18, 24], atol=3)


def test_a_long_video_is_not_kept(tmp_path: Path) -> None:
    """Reading on does not go back to the beginning, and far ahead starts from a keyframe."""
    path = encode(tmp_path / "a.mp4", "libx264", "yuv420p", 400, keys=25)
    video = EncodedVideo(path)
    assert video.count == 400
    opened = 0
    original = video._open

    def counting() -> object:
        nonlocal opened
        opened += 1
        return original()

    video._open = counting  # type: ignore[method-assign]
    for position in range(0, 400, 7):
        (_,) = video.read([position])
    assert opened == 1
    (_,) = video.read([390])
    assert video._next == 391
    video.close()


def test_damaged_videos_are_named(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.avi", "mpeg4", "yuv420p", keys=5)
    content = bytearray(path.read_bytes())
    (tmp_path / "text.avi").write_text("this is no video at all")
    (tmp_path / "empty.mp4").write_bytes(b"")
    for name in ("text.avi", "empty.mp4"):
        with pytest.raises(InputError, match=rf"{name} is not a video") as caught:
            open_frames(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"40 frames, none from frame 40 on"):
        open_frames(path, first=40)
    # The packet of frame 20 filled with ones: that frame can't be decoded, the others can.
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(container.streams.video[0]) if p.size]
        start, size = packets[20].pos, packets[20].size
    content[start + 8 : start + 8 + size] = b"\xff" * size
    (tmp_path / "damaged.avi").write_bytes(content)
    damaged = open_frames(tmp_path / "damaged.avi", validation=0, test=0)
    with pytest.raises(InputError, match=r"frame 20 of .*damaged.avi can't be decoded"):
        damaged.read(np.arange(15, 25))
    np.testing.assert_allclose(damaged.read(np.array([19, 30]))[:, 1, 30, 40], [114, 180], atol=3)


@pytest.fixture
def make_norpix() -> Callable[..., Path]:
    def make(path: Path, count: int, after: int = 8, promised: int | None = None) -> Path:
        header = bytearray(1024)
        header[:4] = b"\xed\xfe\x00\x00"
        sizes = [64, 48, 24, 24, 64 * 48 * 3, 201, count if promised is None else promised, 0, 0]
        header[548:584] = np.asarray(sizes, "<u4").tobytes()
        header[584:592] = np.asarray([30.0], "<f8").tobytes()
        content = bytes(header)
        for number in range(count):
            file = io.BytesIO()
            Image.fromarray(picture(number)).save(file, "JPEG", quality=95)
            jpeg = file.getvalue()
            content += (len(jpeg) + 4).to_bytes(4, "little") + jpeg + b"\0" * after
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return make


@pytest.mark.parametrize("after", [8, 16])
def test_norpix_sequences(make_norpix: Callable[..., Path], after: int, tmp_path: Path) -> None:
    frames = open_frames(make_norpix(tmp_path / "V000.seq", 12, after), validation=0, test=0)
    assert frames.shape == (12, 3, 48, 64)
    assert frames.step == "33.33 ms"
    np.testing.assert_allclose(frames.read(np.array([11, 0, 5]))[:, 1, 30, 40], [66, 0, 30], atol=3)
    # A recorder that was interrupted has not written how many frames there are.
    assert open_video(make_norpix(tmp_path / "b.seq", 5, after, promised=0)).count == 5
    with pytest.raises(InputError, match=r"c.seq is damaged or cut off after frame 5 of 9"):
        open_frames(make_norpix(tmp_path / "c.seq", 5, after, promised=9))
