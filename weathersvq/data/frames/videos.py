"""Frames in video files, decoded when they are needed and never kept.

Reading on is cheap; going back, or far ahead, starts from the keyframe before. For training on long
videos a frame store is faster: `write_frame_store`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from weathersvq.data.frames.base import COLOUR, GREY, Clip, Frames
from weathersvq.data.frames.names import natural_order, need
from weathersvq.data.frames.norpix import NorpixVideo, is_norpix
from weathersvq.data.frames.pictures import Colour, to_colour
from weathersvq.data.frames.resizing import Fit, Method, Resize
from weathersvq.data.frames.splits import VALIDATION_SHARE, Part, with_splits
from weathersvq.errors import InputError

SUFFIXES = (
    ".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".ogv", ".flv",
    ".ts", ".gif", ".seq",
)  # fmt: skip


class Video(Protocol):
    """A file of frames in a row.

    Attributes:
        path: file.
        count: frames.
        rate: frames a second; 0 where it is not known.
        grey: whether frames have one channel.
    """

    path: Path
    count: int
    rate: float
    grey: bool

    def read(self, positions: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """(H, W, 1 or 3) of each of some ascending positions.

        Raises:
            InputError: a frame that can't be decoded (named).
        """
        ...

    def close(self) -> None:
        """Let go of the file; the next read opens it anew."""
        ...


class EncodedVideo:
    """Whatever PyAV (FFmpeg) decodes. Frames are found by their presentation times.

    Args:
        path: file.

    Raises:
        InputError: no video, or one that is damaged from the beginning.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._av = need("av", f"reading {path}")
        self._lock = threading.Lock()
        self._container: Any = None
        self._decoder: Iterator[tuple[int, Any]] = iter(())
        self._next = 0  # position of the frame that the decoder gives next
        # Presentation time of each frame, ascending; None where the file has none.
        self._times: list[int] | None = None
        self._keys: list[int] = [0]  # positions of keyframes, ascending
        self._seek_times: dict[int, int] = {}  # of keyframes
        self._index()

    def _open(self) -> Any:
        try:
            container = self._av.open(str(self.path))
        except (self._av.error.FFmpegError, OSError) as error:
            raise InputError(
                f"{self.path} is not a video, or a damaged one ({error.strerror})"
            ) from error
        if not container.streams.video:
            container.close()
            raise InputError(f"{self.path} has no pictures; expected a video")
        # Without this decoders paint over what they can't read.
        container.streams.video[0].codec_context.options = {"err_detect": "explode"}
        return container

    def _index(self) -> None:
        """Times and keyframes from the packets, without decoding any."""
        with self._open() as container:
            stream = container.streams.video[0]
            self.rate = float(stream.average_rate or 0)
            self.grey = (stream.format.name if stream.format else "").startswith("gray")
            # Presentation time, decoding time (which is what some forms seek by), keyframe.
            times: list[tuple[int, int, bool]] = []
            timed = True
            try:
                for packet in container.demux(stream):
                    if packet.size == 0 or packet.is_discard:
                        continue
                    timed = timed and packet.pts is not None
                    seek_time = packet.pts if packet.dts is None else packet.dts
                    times.append((packet.pts or 0, seek_time or 0, packet.is_keyframe))
            except self._av.error.FFmpegError as error:
                raise InputError(
                    f"{self.path} is damaged after frame {len(times)} ({error.strerror})"
                ) from error
        if timed and len({time for time, _, _ in times}) == len(times):
            times.sort()
            self._times = [time for time, _, _ in times]
            self._keys = [place for place, (_, _, key) in enumerate(times) if key] or [0]
            self._seek_times = {key: min(times[key][:2]) for key in self._keys}
            self.count = len(times)
        else:
            # Some old files have no times; there frames are counted, from the beginning.
            with self._open() as container:
                self.count = sum(1 for _ in self._decode(container))
        if self.count == 0:
            raise InputError(f"{self.path} has no frames; expected a video")

    def _decode(self, container: Any) -> Iterator[tuple[int, Any]]:
        """(position, frame) of what can be decoded from here on.

        Frames between a damaged one and the next keyframe are left out: they are made from it.
        """
        stream = container.streams.video[0]
        where = None if self._times is None else {t: i for i, t in enumerate(self._times)}
        position = 0
        packets = container.demux(stream)
        damaged = False
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                frames = packet.decode()
            except self._av.error.FFmpegError:
                damaged = True
                continue
            for frame in frames:
                damaged = frame.is_corrupt or (damaged and not frame.key_frame)
                if where is not None and frame.pts not in where:
                    continue
                here = position if where is None else where[frame.pts]
                position += 1
                if not damaged:
                    yield here, frame

    def _start_from(self, key: int) -> None:
        """Decode from a keyframe on."""
        if self._times is None:
            self.close()
        if self._container is None:
            self._container = self._open()
        if self._times is not None:
            stream = self._container.streams.video[0]
            self._container.seek(self._seek_times[key], stream=stream, backward=True)
        self._decoder = self._decode(self._container)
        self._next = key

    def close(self) -> None:
        """Let go of the file; the next read opens it anew."""
        if self._container is not None:
            self._container.close()
        self._container, self._decoder = None, iter(())

    def read(self, positions: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        with self._lock:
            for position in positions:
                yield self._picture(self._find(position))

    def _find(self, position: int) -> Any:
        before = [key for key in self._keys if key <= position] or self._keys[:1]
        if self._container is not None and before[-1] <= self._next <= position:
            frame = self._read_on(position)
            if frame is not None:
                return frame
        # Some forms of file lead past the frame that was looked for: then from further before.
        for key in dict.fromkeys((before[-1], before[-min(3, len(before))], before[0])):
            self._start_from(key)
            frame = self._read_on(position)
            if frame is not None:
                return frame
        self.close()
        raise InputError(
            f"frame {position} of {self.path} can't be decoded: the file is damaged there; get it "
            "again or leave it out"
        )

    def _read_on(self, position: int) -> Any | None:
        """The frame at a position, or None if what comes is behind it."""
        for found, frame in self._decoder:
            self._next = found + 1
            if found == position:
                return frame
            if found > position:
                break
        return None

    def _picture(self, frame: Any) -> NDArray[np.uint8]:
        if self.grey:
            return frame.to_ndarray(format="gray")[:, :, None]
        return frame.to_ndarray(format="rgb24")


@dataclass(frozen=True, eq=False, kw_only=True)
class VideoFrames(Frames):
    """Frames of video files, each of which is a clip.

    Attributes:
        videos: of each clip; read by one thread at a time.
        first, every: the clip's frames are `first`, `first + every` and so on of the video.
        colour: what becomes of them.
        resize: to another size; None if every video must have the size of the first.
    """

    videos: tuple[Video, ...]
    first: int = 0
    every: int = 1
    colour: Colour = "colour"
    resize: Resize | None = None
    # Only the last video read stays open: a thousand would be too many.
    opened: list[Video] = field(default_factory=list, init=False)
    lock: Any = field(default_factory=threading.Lock, init=False)

    def read_clip(self, clip: int, frames: Sequence[int]) -> NDArray[Any]:
        video = self.videos[clip]
        with self.lock:
            if self.opened and self.opened[0] is not video:
                self.opened.pop().close()
            if not self.opened:
                self.opened.append(video)
            wanted = [self.first + self.every * frame for frame in frames]
            pictures = []
            for position, values in zip(wanted, video.read(wanted), strict=True):
                name = f"frame {position} of {video.path}"
                picture = to_colour(values, self.colour, name)
                if self.resize is not None:
                    picture = self.resize(picture)
                if picture.shape[:2] != self.size:
                    raise InputError(
                        f"{name} is {picture.shape[0]} x {picture.shape[1]} pixels, others are "
                        f"{self.size[0]} x {self.size[1]}; make them one size with the option "
                        "`size`"
                    )
                pictures.append(picture)
        return np.stack(pictures).transpose(0, 3, 1, 2)


def open_video(path: Path) -> Video:
    """A video file of any kind.

    Raises:
        InputError: nothing there, no video, or a damaged one.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a video that does")
    return NorpixVideo(path) if is_norpix(path) else EncodedVideo(path)


def video_files(source: Path) -> list[Path]:
    """A file, or all videos at and below a folder in natural order.

    Raises:
        InputError: a folder without videos.
    """
    if not source.is_dir():
        return [source]
    found = [
        Path(folder) / name
        for folder, _, names in os.walk(source)
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    ]
    if not found:
        raise InputError(f"{source} holds no videos; expected files with {', '.join(SUFFIXES)}")
    return sorted(found, key=lambda path: natural_order(path.relative_to(source).as_posix()))


def open_videos(
    source: Path,
    *,
    every: int = 1,
    first: int = 0,
    colour: Colour | None = None,
    size: tuple[int, int] | None = None,
    fit: Fit = "stretch",
    method: Method = "antialiased",
    stride: int = 1,
    step: str | None = None,
    validation: Part = VALIDATION_SHARE,
    test: Part = 0.1,
) -> Frames:
    """Open a video, or a folder of them, as frames; one frame is decoded.

    Args:
        source: file or folder.
        every: take each `every`-th frame only.
        first: of the video's frames.
        colour: `colour`, `luminance` (grey made of colour), or `grey` for a video that is grey; as
            the first video is if not given.
        size, fit, method: make all frames this size, see `Resize`.
        stride: frames (of those taken) from one window's start to the next one's; 0 for windows
            without overlap.
        step: what lies between two frames, in words; from the frame rate if not given.
        validation, test: see `with_splits`.

    Raises:
        InputError: no video, one that is damaged, or too short for `first`.
    """
    files = video_files(source)
    videos = tuple(open_video(path) for path in files)
    names = [p.relative_to(source).as_posix() if source.is_dir() else p.name for p in files]
    clips = tuple(
        Clip(name, taken_frames(video, first, every), stride=stride)
        for name, video in zip(names, videos, strict=True)
    )
    if colour is None:
        colour = "grey" if videos[0].grey else "colour"
    (sample,) = videos[0].read([first])
    videos[0].close()
    frames = VideoFrames(
        str(source),
        clips,
        COLOUR if colour == "colour" else GREY,
        size or (sample.shape[0], sample.shape[1]),
        step or describe_step(videos[0], every),
        videos=videos,
        first=first,
        every=every,
        colour=colour,
        resize=None if size is None else Resize(size, method, fit),
    )
    return with_splits(frames, validation, test)


def taken_frames(video: Video, first: int, every: int) -> int:
    """Frames of a video from `first` on, each `every`-th.

    Raises:
        InputError: none.
    """
    if every < 1 or first < 0:
        raise InputError(f"every is {every} and first {first}; expected at least 1 and 0")
    count = len(range(first, video.count, every))
    if count == 0:
        raise InputError(f"{video.path} has {video.count} frames, none from frame {first} on")
    return count


def describe_step(video: Video, every: int) -> str:
    """Such as `40 ms`."""
    if video.rate == 0:
        return f"{every} frame{'s' if every > 1 else ''}"
    return f"{1000 * every / video.rate:.4g} ms"
