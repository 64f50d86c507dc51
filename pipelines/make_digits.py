"""Moving Digits: handwritten digits that bounce through black pictures, as a frame store.

Two of scikit-learn's 8 x 8 digits, four times as large and smooth, move through 64 x 64 pixels with
constant speed and bounce off the edges: the form of Moving MNIST, from data that a package ships.
Training, validation and test sequences show different digits.

    python pipelines/make_digits.py runs/video/digits.zarr
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom
from sklearn.datasets import load_digits

from weathersvq.data.frames import write_frame_store
from weathersvq.data.frames.arrays import ArrayFrames
from weathersvq.data.frames.base import GREY, Clip, Split

SIZE, LENGTH, DIGITS = 64, 20, 2
SCALE = 4
# Sequences a split, and the share of the digits that they show.
SPLITS: dict[Split, tuple[int, slice]] = {
    "train": (1200, slice(0, 1400)),
    "validation": (60, slice(1400, 1580)),
    "test": (120, slice(1580, None)),
}


def bounce(start: NDArray[np.float64], speed: NDArray[np.float64], room: int) -> NDArray[np.intp]:
    """Positions 0..room of something that moves evenly and bounces off both ends.

    Args:
        start, speed: (n,).
        room: the last position.

    Returns:
        (LENGTH, n) whole pixels.
    """
    way = start + speed * np.arange(LENGTH)[:, None]
    folded = np.abs((way - room) % (2 * room) - room)
    return np.rint(folded).astype(np.intp)


def make_sequence(digits: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """(LENGTH, SIZE, SIZE) with DIGITS of the pictures (n, h, w), the brighter one in front."""
    frames = np.zeros((LENGTH, SIZE, SIZE), np.uint8)
    height, width = digits.shape[1:]
    angle = random.uniform(0, 2 * np.pi, DIGITS)
    speed = random.uniform(2, 5, DIGITS)
    rows = bounce(random.uniform(0, SIZE - height, DIGITS), speed * np.sin(angle), SIZE - height)
    columns = bounce(random.uniform(0, SIZE - width, DIGITS), speed * np.cos(angle), SIZE - width)
    for place, number in enumerate(random.integers(0, len(digits), DIGITS)):
        for frame, row, column in zip(frames, rows[:, place], columns[:, place], strict=True):
            part = frame[row : row + height, column : column + width]
            np.maximum(part, digits[number], out=part)
    return frames


def make_digits(seed: int = 0, share: float = 1.0) -> ArrayFrames:
    """All sequences of all splits.

    Args:
        seed: other seeds give other motions.
        share: of the sequences of each split, for a quick look.
    """
    random = np.random.default_rng(seed)
    pictures = load_digits().images  # (1797, 8, 8), 0 to 16
    large = zoom(pictures, (1, SCALE, SCALE), order=1).clip(0, 16)
    large = np.rint(large * (255 / 16)).astype(np.uint8)
    clips: list[Clip] = []
    sequences: list[NDArray[np.uint8]] = []
    for split, (count, which) in SPLITS.items():
        for number in range(max(1, round(count * share))):
            clips.append(Clip(f"{split}_{number:04d}", LENGTH, split))
            sequences.append(make_sequence(large[which], random))
    return ArrayFrames(
        source="Moving Digits (scikit-learn's handwritten digits)",
        clips=tuple(clips),
        channels=GREY,
        size=(SIZE, SIZE),
        step="1 frame",
        array=np.concatenate(sequences)[:, None],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="bouncing digits as a frame store")
    parser.add_argument("out", type=Path, help="NAME.zarr")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=1.0, help="of the sequences, for a test")
    options = parser.parse_args()
    write_frame_store(make_digits(options.seed, options.share), options.out)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
