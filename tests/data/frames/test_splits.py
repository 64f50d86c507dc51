"""Splits: whole groups, never single windows, at least the share that was asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weathersvq.data.frames.base import GREY, Clip, Frames
from weathersvq.data.frames.splits import last_groups, spread_groups, with_splits, with_validation
from weathersvq.errors import InputError


class Counted(Frames):
    """Frame i of clip c has the value 10 c + i everywhere."""

    def read_clip(self, clip: int, frames: Sequence[int]) -> np.ndarray:
        values = 10 * clip + np.asarray(frames)
        return values[:, None, None, None] * np.ones((1, 2, 3), np.uint8)


def counted(*lengths: int) -> Counted:
    clips = tuple(Clip(f"clip{n}", length) for n, length in enumerate(lengths))
    return Counted("somewhere", clips, GREY, (2, 3))


def splits(frames: Frames) -> list[str]:
    return [clip.split for clip in frames.clips]


def test_the_last_clips_by_share() -> None:
    assert splits(with_splits(counted(*[4] * 10), 0.1, 0.2)) == (
        ["train"] * 7 + ["validation"] + ["test"] * 2
    )
    # At least the share: 5 of 20 frames are less than 0.3 of them, so a second clip is taken.
    assert splits(with_splits(counted(5, 5, 5, 5), 0, 0.3)) == ["train"] * 2 + ["test"] * 2
    assert splits(with_splits(counted(5, 5), 0, 0)) == ["train"] * 2
    assert splits(with_splits(counted(5, 5), 0, 1)) == ["test"] * 2


def test_clips_by_name() -> None:
    frames = with_splits(counted(4, 4, 4, 4, 4), ["clip0"], ["clip[34]"])
    assert splits(frames) == ["validation", "train", "train", "test", "test"]
    assert frames.comment == "test: 2 of 5 clips; validation: 1 of 5 clips"
    # A share beside names: of what the names left.
    assert splits(with_splits(counted(4, 4, 4, 4, 4), 0.1, ["clip4"])) == (
        ["train"] * 3 + ["validation", "test"]
    )
    with pytest.raises(InputError, match=r"test: no clip of somewhere is called 'x\*'; there are"):
        with_splits(counted(4, 4), 0, ["x*"])


def test_one_clip_is_cut_in_time() -> None:
    frames = with_splits(counted(10), 0.2, 0.3)
    assert [(clip.name, clip.length, clip.split) for clip in frames.clips] == [
        ("clip0[0:5]", 5, "train"), ("clip0[5:7]", 2, "validation"), ("clip0[7:10]", 3, "test")
    ]  # fmt: skip
    np.testing.assert_array_equal(frames.read(np.arange(10))[:, 0, 0, 0], np.arange(10))


@pytest.mark.parametrize(
    ("validation", "test", "message"),
    [
        (1.5, 0, r"validation is 1.5"),
        (0, -0.1, r"test is -0.1"),
        (0.6, 0.6, r"take 1.2 of the frames"),
    ],
)
def test_bad_shares(validation: float, test: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_splits(counted(4, 4, 4), validation, test)


def test_validation_takes_whole_groups_of_the_training_clips() -> None:
    clips = [
        Clip(f"p{person}_{action}", 10, "test" if person > 8 else "train", f"p{person}")
        for action in ("box", "run")
        for person in range(1, 11)
    ]
    result, comment = with_validation(clips, 0.15, "person", "here")
    # 8 persons of 20 frames: 0.15 of 160 is 24, so two persons.
    taken = [clip.name for clip in result if clip.split == "validation"]
    assert taken == ["p7_box", "p8_box", "p7_run", "p8_run"]
    assert comment == "validation: of the training set by person, p7, p8"
    assert [c.name for c in result if c.split == "test"] == [
        c.name for c in clips if c.split == "test"
    ]
    unchanged, comment = with_validation(clips, 0, "person", "here")
    assert (list(unchanged), comment) == (clips, "no validation split")
    with pytest.raises(InputError, match=r"here has 1 person to train on, of which none"):
        with_validation([clip for clip in clips if clip.group == "p1"], 0.1, "person", "here")


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    share=st.floats(0, 1),
)
def test_shares_are_reached_by_as_few_as_needed(lengths: list[int], share: float) -> None:
    clips = [Clip(f"c{n}", length) for n, length in enumerate(lengths)]
    for choose in (last_groups, spread_groups):
        taken = choose(clips, share)
        assert len(set(taken)) == len(taken)
        assert sum(c.length for c in clips if c.name in taken) >= share * sum(lengths) - 1e-9
        assert bool(taken) == (share > 0)
    last = last_groups(clips, share)
    assert list(last) == [clip.name for clip in clips[len(clips) - len(last) :]]
    assert sum(lengths[len(clips) - len(last) + 1 :]) < max(share * sum(lengths), 1e-9) or not last


def test_spread_over_the_order() -> None:
    clips = [Clip(f"c{n:02d}", 5) for n in range(10)]
    assert spread_groups(clips, 0.1) == ("c05",)
    assert spread_groups(clips, 0.2) == ("c02", "c07")
