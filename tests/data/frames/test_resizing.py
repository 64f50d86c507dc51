"""Resizing: properties, numbers by hand, and the two libraries that the published loaders use."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weathersvq.data.frames.resizing import Method, Resize, axis_weights
from weathersvq.errors import InputError

METHODS: tuple[Method, ...] = ("bilinear", "cubic", "antialiased")


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from(METHODS))
def test_rows_sum_to_one(source: int, target: int, method: Method) -> None:
    weights = axis_weights(source, target, method)
    assert weights.shape == (target, source)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)


def test_bilinear_by_hand() -> None:
    # 4 pixels to 2: their centres lie at 1 and 3, half way between pixels 0, 1 and 2, 3.
    np.testing.assert_allclose(
        axis_weights(4, 2, "bilinear").toarray(), [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]
    )
    # 2 to 4: centres at 1/4, 3/4 ... of a pixel; beyond the edge is the edge.
    np.testing.assert_allclose(
        axis_weights(2, 4, "bilinear").toarray(), [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]]
    )


def test_cubic_by_hand() -> None:
    # Half way between two pixels, a = -0.75: 1.25/8 - 2.25/4 + 1 = 0.59375 for the near ones, and
    # (1 - 2 * 0.59375) / 2 = -0.09375 for the far ones.
    row = axis_weights(8, 4, "cubic").toarray()[1]
    np.testing.assert_allclose(row, [0, -0.09375, 0.59375, 0.59375, -0.09375, 0, 0, 0])


def test_antialiased_as_scikit_image_does() -> None:
    """What the published loader makes of Caltech's frames, 480 x 640 to 128 x 160."""
    transform = pytest.importorskip("skimage.transform")
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3)).astype(np.uint8)
    # Height 128, width in proportion (171), and the middle 160 of it.
    expected = transform.resize(image, (128, 171), preserve_range=True)[:, 5:165]
    result = Resize((128, 160), "antialiased", "crop", rounded=False)(image)
    np.testing.assert_allclose(result, expected, atol=2e-4)


def test_what_stays() -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    assert Resize((6, 8), "cubic")(image) is image
    for method in METHODS:
        for fit in ("stretch", "crop"):
            flat = Resize((5, 11), method, fit)(np.full((7, 9, 1), 255, np.uint8))
            assert (flat.shape, flat.dtype) == ((5, 11, 1), np.uint8)
            np.testing.assert_array_equal(flat, 255)
    # Cubic shoots over at an edge, but not out of the range.
    edge = np.repeat(np.array([0, 255], np.uint8), 8)[None, :, None].repeat(8, axis=0)
    for rounded in (True, False):
        shot = Resize((8, 30), "cubic", rounded=rounded)(edge)
        assert (shot.min(), shot.max()) == (0, 255)


def test_crop_keeps_the_middle() -> None:
    # Columns 0..9 to 4 of the same height: 3 are cut on both sides.
    image = np.arange(10, dtype=np.uint8)[None, :, None].repeat(4, axis=0)
    np.testing.assert_array_equal(Resize((4, 4), "bilinear", "crop")(image)[0, :, 0], [3, 4, 5, 6])


def test_bad_size() -> None:
    with pytest.raises(InputError, match=r"size \[0, 4\]"):
        Resize((0, 4))
