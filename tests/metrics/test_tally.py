"""The table after a forecast: numbers by hand, and parts that give what the whole gives."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from weathersvq.grid import Grid
from weathersvq.metrics.tally import Tally, forecast_fields

# Rows 90S-30S, 30S-30N, 30N-90N with shares 1/4, 1/2, 1/4 of the area.
GRID = Grid([-60.0, 0.0, 60.0], [0.0, 90.0, 180.0, 270.0])
START = np.datetime64("2017-01-01", "ns")
HOUR = np.timedelta64(3600, "s").astype("timedelta64[ns]")
AREA = {"latitude": GRID.latitude, "longitude": GRID.longitude}


def make_part(
    errors: np.ndarray, initial: float = 277.0, first: int = 0
) -> tuple[xr.Dataset, xr.Dataset]:
    """Forecast = 280 K + errors (init, lead, row), truth 280 K, and a uniform initial state."""
    inits, leads, _ = errors.shape
    times = START + (first + np.arange(inits)) * HOUR
    coords = {"init_time": times, "lead_time": np.arange(1, leads + 1) * HOUR, **AREA}
    truth = np.full((inits, leads, 3, 4), 280.0, np.float32)
    fields = {"t2m": truth + errors[..., None].astype(np.float32), "t2m_truth": truth}
    start = np.full((inits, 3, 4), initial, np.float32)
    return (
        xr.Dataset({name: (tuple(coords), values) for name, values in fields.items()}, coords),
        xr.Dataset({"t2m": (("time", *AREA), start)}, {"time": times, **AREA}),
    )


def test_rows() -> None:
    # Errors 1, 2, 4 K by row: mean square (1 + 2 * 4 + 16) / 4 = 6.25, mean (1 + 2 * 2 + 4) / 4.
    tally = Tally()
    tally.add(*make_part(np.array([[[1.0, 2.0, 4.0]]])))
    (row,) = tally.rows("t2m")
    assert row.lead == 1.0
    assert row.mean == pytest.approx(282.25)
    assert (row.rmse, row.bias, row.mae) == pytest.approx((2.5, 2.25, 2.25))
    assert row.persistence_rmse == pytest.approx(3.0)
    assert (tally.inits, tally.first, tally.fields) == (1, START, [("t2m", None)])


def test_roots_come_after_the_mean_over_all_parts() -> None:
    # Errors of 3 K, then of 4 K: root of (9 + 16) / 2, not (3 + 4) / 2; persistence 3 K and 5 K off.
    tally = Tally()
    tally.add(*make_part(np.full((1, 1, 3), 3.0)))
    tally.add(*make_part(np.full((1, 1, 3), -4.0), initial=275.0, first=1))
    (row,) = tally.rows("t2m")
    assert row.rmse == pytest.approx(12.5**0.5)
    assert (row.bias, row.mae, row.mean) == pytest.approx((-0.5, 3.5, 279.5))
    assert row.persistence_rmse == pytest.approx(17**0.5)
    assert (tally.inits, tally.first) == (2, START)


def test_without_truth_and_without_persistence() -> None:
    forecast, initial = make_part(np.zeros((1, 2, 3)))
    unknown, alone = Tally(), Tally()
    unknown.add(forecast.drop_vars("t2m_truth"), initial)
    rows = unknown.rows("t2m")
    assert [row.lead for row in rows] == [1, 2]
    assert rows[0].mean == pytest.approx(280.0)
    assert rows[0].rmse is rows[0].persistence_rmse is None
    alone.add(forecast)
    assert alone.rows("t2m")[0].rmse == pytest.approx(0.0)
    assert alone.rows("t2m")[0].persistence_rmse is None


def test_truth_that_ends() -> None:
    forecast, initial = make_part(np.ones((3, 2, 3)))
    # Known are both leads of the first init, one of the second, none of the third.
    forecast["t2m_truth"][1, 1] = forecast["t2m_truth"][2] = np.nan
    tally = Tally()
    for init in range(3):
        tally.add(forecast.isel(init_time=[init]), initial.isel(time=[init]))
    first, second = tally.rows("t2m")
    assert first.rmse == second.rmse == pytest.approx(1.0)
    tally = Tally()
    tally.add(forecast.isel(init_time=[1]), initial.isel(time=[1]))
    assert tally.rows("t2m")[1].rmse is None


def test_levels() -> None:
    forecast, initial = make_part(np.ones((2, 1, 3)))
    levels = xr.DataArray([1.0, 2.0], {"level": [850, 500]})
    twice = [
        (part.rename({n: n.replace("t2m", "t") for n in part}) * levels)
        for part in (forecast, initial)
    ]
    tally = Tally()
    tally.add(
        *(
            part.transpose(
                "init_time", ..., "level", "latitude", "longitude", missing_dims="ignore"
            )
            for part in twice
        )
    )
    assert tally.fields == forecast_fields(twice[0]) == [("t", 850), ("t", 500)]
    assert tally.rows("t", 500)[0].rmse == pytest.approx(2.0)
    assert tally.rows("t", 850)[0].persistence_rmse == pytest.approx(3.0)
