"""Moving Digits: what moves, and the page that is made of it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "pipelines"))

from make_digits import LENGTH, SIZE, bounce, make_digits  # noqa: E402


def test_bounce_by_hand() -> None:
    # From 1 by 2 in a room of 0..4: 1, 3, then back from 4 at 5 -> 3, 7 -> 1, 9 -> 1 from 0.
    way = bounce(np.array([1.0]), np.array([2.0]), 4)[:, 0]
    assert way[:6].tolist() == [1, 3, 3, 1, 1, 3]
    assert way.min() >= 0
    assert way.max() <= 4


def test_digits_are_seeded_and_splits_show_other_ones() -> None:
    frames = make_digits(seed=3, share=0.02)
    again = make_digits(seed=3, share=0.02)
    assert np.array_equal(frames.array, again.array)
    assert not np.array_equal(frames.array, make_digits(seed=4, share=0.02).array)
    assert [clip.split for clip in frames.clips] == ["train"] * 24 + ["validation"] + ["test"] * 2
    assert frames.shape == (27 * LENGTH, 1, SIZE, SIZE)
    assert frames.array.dtype == np.uint8
    # Two digits of 32 x 32 in the dark: some light everywhere, never all of it.
    bright = (frames.array > 64).mean(axis=(1, 2, 3))
    assert bright.min() > 0.02
    assert bright.max() < 0.5


@pytest.mark.timeout(280)
def test_the_whole_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import train_video

    from weathersvq.data.frames import write_frame_store

    config = tmp_path / "config.yaml"
    text = train_video.CONFIG.read_text()
    for old, new in (("epochs: 5", "epochs: 1"), ("hid_temporal: 96", "hid_temporal: 8"),
                     ("depth_temporal: 3", "depth_temporal: 1"), ("hid_spatial: 16", "hid_spatial: 4"),
                     ("precision: bf16", "precision: fp32")):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    config.write_text(text)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.delenv("WEATHERSVQ_ALEXNET", raising=False)
    monkeypatch.setattr(train_video, "ROOT", tmp_path)
    monkeypatch.setattr(train_video, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(train_video, "CONFIG", config)
    # The real video is left out, as where its package is missing.
    monkeypatch.setattr(train_video, "find_spec", lambda _name: None)
    write_frame_store(make_digits(share=0.02), tmp_path / "runs" / "digits.zarr")
    train_video.main(seeds=1, jobs=2)
    page = (tmp_path / "docs" / "video.md").read_text()
    assert "| copy of the last frame | 0 |" in page
    assert "| ConvLSTM | " in page
    assert "LPIPS: AlexNet's weights are not there" in page
    for name, start in (("video_digits.png", b"\x89PNG"), ("video_digits.gif", b"GIF89a")):
        assert (tmp_path / "docs" / "pictures" / name).read_bytes().startswith(start)
    # Repeated, nothing is trained again.
    before = (tmp_path / "runs" / "digits_svq_1" / "model.safetensors").stat().st_mtime_ns
    train_video.main(seeds=1, jobs=2)
    assert (tmp_path / "runs" / "digits_svq_1" / "model.safetensors").stat().st_mtime_ns == before
