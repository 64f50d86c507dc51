"""Small trees of frames in the forms that the readers know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def save_picture(path: Path, values: np.ndarray) -> None:
    """(C, H, W) to a file of the name's kind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = values[0] if len(values) == 1 else values.transpose(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(image)).save(path)


@pytest.fixture
def make_pictures() -> Callable[..., Path]:
    def make(
        folder: Path, numbers: list[int], name: str = "image_{:04d}.png", channels: int = 1,
        size: tuple[int, int] = (6, 8),
    ) -> Path:  # fmt: skip
        for number in numbers:
            value = np.full((channels, *size), number % 256, np.uint8)
            save_picture(folder / name.format(number), value)
        return folder

    return make
