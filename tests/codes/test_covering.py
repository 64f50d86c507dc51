"""Theorem 4.1 in numbers: bounds by hand, distances by other libraries, counts recounted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.spatial import cKDTree
from sklearn.linear_model import orthogonal_mp

from weathersvq.codes import covering
from weathersvq.codes.covering import (
    CHUNK,
    CodesNeeded,
    codes_needed,
    draw_from_ball,
    errors_by_size,
    nearest_errors,
    sparse_errors,
    theorem_bounds,
)
from weathersvq.errors import InputError


def some(count: int, dimension: int, seed: int, *, unit: bool = False) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(count, dimension))
    if unit:
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn.astype(np.float32)


def test_bounds_by_hand() -> None:
    # d = 2, delta = 1/2, epsilon = 0.01: 2^2 = 4. log 8 / log log 400 = 2.08 / 1.79 is below 3, so
    # p = 3 and (8 / 0.5)^3 = 4096. 8 / (0.5 (3 log 8 + 4 log 2)) = 16 / 9.01 = 1.8: two nonzeros.
    bounds = theorem_bounds(2, 0.5)
    assert bounds.nearest == 4
    assert bounds.exponent == 3
    assert bounds.sparse == pytest.approx(4096)
    assert bounds.nonzeros == 2
    # A small distance: log(4e4) / log log 200 = 10.597 / 1.667.
    assert theorem_bounds(1, 1e-4).exponent == pytest.approx(6.356, abs=2e-3)
    # The paper's claim holds from d = 24 on: 2^23 = 8.4e6 and 184^3 = 6.2e6 are close already.
    assert theorem_bounds(22, 0.5).nearest < theorem_bounds(22, 0.5).sparse
    assert theorem_bounds(24, 0.5).nearest > 2 * theorem_bounds(24, 0.5).sparse


@pytest.mark.parametrize(
    "wrong", [(0, 0.5, 0.1), (2, 1.0, 0.1), (2, 0.0, 0.1), (2, 0.5, 0.0), (1, 0.5, 0.9)]
)
def test_what_the_theorem_does_not_speak_of_is_refused(wrong: tuple[int, float, float]) -> None:
    dimension, delta, epsilon = wrong
    with pytest.raises(InputError, match=r"Theorem 4\.1"):
        theorem_bounds(dimension, delta, epsilon=epsilon)


@pytest.mark.parametrize("dimension", [1, 3, 16])
def test_the_ball_is_filled_evenly(dimension: int) -> None:
    drawn = draw_from_ball(4000, dimension, np.random.default_rng(0))
    radius = np.linalg.norm(drawn, axis=1)
    # The volume inside of radius r is r^d of all.
    assert stats.kstest(radius**dimension, "uniform").pvalue > 0.01
    assert np.abs(drawn.mean(axis=0)).max() < 4 / math.sqrt(4000)


def test_nearest_as_a_tree_finds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(covering, "CHUNK", 30)
    vectors, codes = some(200, 5, 0), some(100, 5, 1)
    expected, _ = cKDTree(codes).query(vectors)
    np.testing.assert_allclose(nearest_errors(vectors, codes), expected, atol=1e-5)


@pytest.mark.parametrize("at_most", [1, 2, 4])
def test_pursuit_as_scikit_learn_does_it(at_most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(covering, "CORRELATIONS", 40 * 7)
    vectors, codes = some(60, 6, 0), some(40, 6, 1, unit=True)
    weights = orthogonal_mp(codes.T.astype(float), vectors.T.astype(float), n_nonzero_coefs=at_most)
    expected = np.linalg.norm(vectors - weights.T @ codes, axis=1)
    np.testing.assert_allclose(sparse_errors(vectors, codes, at_most), expected, atol=1e-5)


def test_pursuit_by_hand() -> None:
    # (3, 4) from the axes: the second is taken first, 3 is left; then nothing is.
    vectors, codes = np.array([[3, 4]], np.float32), np.eye(2, dtype=np.float32)
    assert sparse_errors(vectors, codes, 1) == pytest.approx([3])
    assert sparse_errors(vectors, codes, 2) == pytest.approx([0], abs=1e-6)
    # The only code can be taken once, and once more is no use.
    assert sparse_errors(vectors, codes[:1], 5) == pytest.approx([4])
    assert sparse_errors(vectors, np.repeat(codes[:1], 3, axis=0), 2) == pytest.approx([4])


def test_the_nearest_code_needs_what_is_counted() -> None:
    (row, *_) = codes_needed([4], at_most=(), vectors=500)
    assert (row.method, row.at_most) == ("nearest", 1)
    generator = np.random.default_rng((0, 4))
    ball = draw_from_ball(500, 4, generator)
    codes = draw_from_ball(CHUNK, 4, generator) * np.float32(math.sqrt(0.75))
    within = [
        float((nearest_errors(ball, codes[: row.codes - back]) <= 0.5).mean()) for back in (0, 1)
    ]
    assert within[0] >= 0.99 > within[1]


def test_codes_needed_keep_to_what_is_known() -> None:
    rows = codes_needed([1, 4, 8], vectors=400, most_nearest=2**13)
    needed = {(row.dimension, row.method, row.at_most): row.codes for row in rows}
    # On a line any code with a weight gives every vector.
    assert needed[1, "sparse", 2] == 1
    # As many codes as dimensions span all of them, and 4 of 4 may all be taken.
    assert needed[4, "sparse", 4] <= 4
    for dimension in (4, 8):
        four, two = needed[dimension, "sparse", 4], needed[dimension, "sparse", 2]
        nearest = needed[dimension, "nearest", 1]
        assert four < two < nearest
        # Balls of radius delta around the codes must hold 99 % of the volume.
        assert nearest >= 0.99 * 2**dimension
    for row in rows:
        bounds = theorem_bounds(row.dimension, 0.5)
        assert row.bound == (bounds.nearest if row.method == "nearest" else bounds.sparse)
        # Where the theorem's nonzeros are given, sparse regression does with its codes.
        if row.method == "sparse_as_theorem":
            assert row.at_most == bounds.nonzeros
            assert row.codes is not None
            assert row.codes <= row.bound


def test_codebooks_that_are_too_large_are_not_tried() -> None:
    rows = codes_needed([2, 6, 8], at_most=(1,), vectors=300, most_nearest=100, most_sparse=20)
    found = {(row.dimension, row.method): row.codes for row in rows}
    assert found[2, "nearest"] is not None
    assert found[6, "nearest"] is found[8, "nearest"] is None
    assert found[6, "sparse"] is found[8, "sparse"] is None
    assert {row.tried for row in rows} == {100, 20}


def test_errors_fall_with_the_codebooks_size() -> None:
    rows = errors_by_size((2, 4, 8), sizes=(4, 32, 256), vectors=400)
    for dimension in (2, 4, 8):
        of = {
            method: [r.error for r in rows if (r.dimension, r.method) == (dimension, method)]
            for method in ("nearest", "sparse")
        }
        assert of["nearest"] == sorted(of["nearest"], reverse=True)
        # Two weighted codes are never worse than one without a weight, for 99 % of the vectors.
        assert all(s < n for s, n in zip(of["sparse"], of["nearest"], strict=True))
        if dimension == 2:
            assert max(of["sparse"]) < 1e-3
    # A single code near the centre would do as well as the ball's radius.
    assert max(row.error for row in rows) < 1.1


def test_rows_are_plain() -> None:
    (row,) = codes_needed([2], at_most=(), vectors=100)[:1]
    assert isinstance(row, CodesNeeded)
    assert (type(row.codes), type(row.bound)) == (int, float)
