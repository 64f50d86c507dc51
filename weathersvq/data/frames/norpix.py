"""Videos in Norpix sequence form (.seq), as the Caltech pedestrian data set comes.

A header of 1024 bytes and then frames. FFmpeg doesn't read it; the positions in the header are those
of Norpix's description, as in Piotr Dollar's toolbox (`seqIo`).
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from weathersvq.data.frames.names import need
from weathersvq.errors import InputError

MAGIC = b"\xed\xfe\x00\x00"
HEADER_BYTES = 1024
# At 548: width, height, bits, real bits, bytes of an image, form, frames, -, bytes of a frame.
_SIZES_AT = 548
_RATE_AT = 584
# Forms whose frames are JPEG files: grey and colour.
_JPEG = {102: True, 201: False}
_JPEG_START = b"\xff\xd8"


def _find_frames(file: IO[bytes], end: int) -> list[tuple[int, int]]:
    """(start, bytes) of each JPEG file, as far as they follow each other."""
    places: list[tuple[int, int]] = []
    position, after = HEADER_BYTES, 8
    while position + 6 <= end:
        file.seek(position)
        start = file.read(6)
        size = int.from_bytes(start[:4], "little")
        if start[4:] != _JPEG_START:
            if len(places) != 1 or after == 16:
                break
            # Some recorders leave twice the room behind a frame.
            position, after = position + 8, 16
            continue
        if size <= 4 or position + size > end:
            break
        places.append((position + 4, size - 4))
        position += size + after
    return places


def is_norpix(path: Path) -> bool:
    """Whether a file starts as such a video does."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


class NorpixVideo:
    """Frames that are JPEG files one after the other, each after its size and before its time.

    Args:
        path: file.

    Raises:
        InputError: frames in another form, or a file that is cut off before its first.

    Attributes:
        path, count, rate, grey: see `videos.Video`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
            if len(header) < HEADER_BYTES:
                raise InputError(f"{path} is cut off in its header; get it again")
            sizes = np.frombuffer(header, "<u4", 9, _SIZES_AT)
            form, promised = int(sizes[5]), int(sizes[6])
            if form not in _JPEG:
                raise InputError(
                    f"{path} holds frames in form {form}; expected JPEG (102 or 201), as Caltech's"
                )
            self.grey = _JPEG[form]
            self.rate = float(np.frombuffer(header, "<f8", 1, _RATE_AT)[0])
            self.places = _find_frames(file, path.stat().st_size)
        self.count = len(self.places)
        # Recorders that were interrupted leave a zero in the header.
        if self.count < max(1, promised):
            raise InputError(
                f"{path} is damaged or cut off after frame {self.count} of {promised}; get it again"
            )

    def read(self, positions: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """(H, W, 1 or 3) of each of some ascending positions.

        Raises:
            InputError: a frame that can't be decoded (named).
        """
        image = need("PIL.Image", f"reading {self.path}")
        with self.path.open("rb") as file:
            for position in positions:
                start, size = self.places[position]
                file.seek(start)
                try:
                    with image.open(io.BytesIO(file.read(size))) as opened:
                        values = np.asarray(opened.convert("L" if self.grey else "RGB"))
                except (OSError, ValueError, SyntaxError) as error:
                    raise InputError(
                        f"frame {position} of {self.path} can't be decoded: the file is damaged "
                        "there; get it again or leave it out"
                    ) from error
                yield values.reshape(*values.shape[:2], -1)

    def close(self) -> None:
        """Nothing is kept open."""
