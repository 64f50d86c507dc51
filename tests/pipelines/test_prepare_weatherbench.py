"""Both stores of the paper's weather benchmarks, from one archive, with pictures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from weathersvq.data.sources import open_source
from weathersvq.grid import Grid
from weathersvq.variables import variable

SCRIPT = Path(__file__).parents[2] / "pipelines" / "prepare_weatherbench.py"
LEVELS = (150, 500, 850, 1000)


@pytest.fixture
def archive(make_wave: Callable[..., xr.Dataset], tmp_path: Path) -> Path:
    """Four days, hourly, in ARCO-ERA5's form at 10 degrees, with one level more than is wanted."""
    wave = make_wave(steps=96, names=("t2m", "u10", "v10", "tcc"), grid=Grid.equiangular(10.0))
    fields = {variable(str(n)).weatherbench2: wave[n] for n in wave.data_vars}
    for name, source in {"r": wave.tcc * 100, "t": wave.t2m, "u": wave.u10, "v": wave.v10}.items():
        on_levels = xr.concat([source * (1 - level / 1e5) for level in LEVELS], dim="level")
        fields[variable(name).weatherbench2] = on_levels.drop_attrs()
    dataset = xr.Dataset(fields).assign_coords(level=list(LEVELS))
    dataset.relative_humidity.attrs["units"] = "%"
    dataset = dataset.transpose("time", "level", "latitude", "longitude")
    dataset.isel(latitude=slice(None, None, -1)).to_zarr(tmp_path / "archive.zarr", zarr_format=2)
    return tmp_path / "archive.zarr"


def run(*options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, options)], capture_output=True, text=True
    )


def test_both_stores(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "stores"
    options = ["--source", archive, "--out", out, "--period", "2016-12-28/2016-12-31",
               "--train-period", "2016-12-28/2016-12-29", "--scheduler", "synchronous"]  # fmt: skip
    done = run(*options)
    assert done.returncode == 0, done.stderr
    surface = open_source(out / "surface_1h.zarr")
    assert sorted(surface.data_vars) == ["r", "t2m", "tcc", "u10", "v10"]
    assert surface.r.shape == (96, 1, 32, 64)
    assert surface.level.values.tolist() == [1000]
    levels = open_source(out / "levels_6h.zarr")
    assert sorted(levels.data_vars) == ["r", "t", "u", "v"]
    assert levels.t.shape == (16, 3, 32, 64)
    assert levels.level.values.tolist() == [150, 500, 850]
    ratio = (levels.t.sel(level=850) / surface.t2m[::6].values).values
    np.testing.assert_allclose(ratio, 1 - 850 / 1e5, rtol=1e-5)
    for name in ("surface_1h.png", "levels_6h.png"):
        assert (out / name).stat().st_size > 50_000
    again = run(*options)
    assert again.returncode == 0
    wrong = run("--store", "surface.zarr")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert (
        "unknown store 'surface.zarr'; expected surface_1h.zarr or levels_6h.zarr" in wrong.stderr
    )
