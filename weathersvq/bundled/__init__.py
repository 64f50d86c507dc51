"""What makes the first command work offline: a sample of data, a trained model, a coastline."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def bundled_sample() -> Path:
    """The sample store: three weeks of hourly surface fields of a climate simulation."""
    return FOLDER / "sample.zarr"


def bundled_model() -> Path:
    """The checkpoint that `forecast` uses unless told otherwise."""
    return FOLDER / "joint_svq.safetensors"


def bundled_coastline() -> Path:
    """Folder in cartopy's layout that holds the Natural Earth 110 m coastline."""
    return FOLDER / "natural_earth"
