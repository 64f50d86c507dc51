"""After verify: the scores that are shown after a forecast, kept while it comes in parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from weathersvq.grid import Grid
from weathersvq.metrics.weather import metrics, persistence, pooled, statistics


@dataclass(frozen=True)
class ScoreRow:
    """One lead of the table; in the variable's units, None where unknown.

    Attributes:
        lead: hours.
        mean: area mean of the forecast, over all inits.
        rmse, bias, mae: against the truth, area-weighted.
        persistence_rmse: of the forecast that nothing changes.
    """

    lead: float
    mean: float
    rmse: float | None
    bias: float | None
    mae: float | None
    persistence_rmse: float | None


class Tally:
    """Scores by lead over all inits of a forecast, in memory that does not grow with their number.

    Attributes:
        inits: how many have been added.
        first: the first of them.
        fields: (variable, level in hPa or None) of every map.
    """

    def __init__(self) -> None:
        self.inits = 0
        self.first: np.datetime64 | None = None
        self.fields: list[tuple[str, int | None]] = []
        self._leads = np.zeros(0)
        self._mean_sums: dict[str, xr.DataArray] = {}
        self._statistics: dict[str, xr.Dataset] = {}

    def add(self, forecast: xr.Dataset, initial: xr.Dataset | None = None) -> None:
        """Count a part of the forecast.

        Args:
            forecast: dims (init_time, lead_time, [level,] latitude, longitude), short names; scored
                where its `NAME_truth` is there and known.
            initial: canonical dataset with the state at its inits; without it persistence is not
                scored.

        Raises:
            InputError: NaN in the forecast where the truth is known.
        """
        names = field_names(forecast)
        if self.first is None:
            self.first = forecast["init_time"].values[0]
            self._leads = forecast["lead_time"].values / np.timedelta64(1, "h")
            self.fields = forecast_fields(forecast)
        self.inits += forecast.sizes["init_time"]
        rows = Grid.of(forecast).area_weights() / (Grid.of(forecast).shape[0])
        weights = xr.DataArray(rows, {"latitude": forecast["latitude"].values})
        for name in names:
            by_row = forecast[name].mean("longitude", dtype=np.float64).sum("init_time")
            total = (by_row * weights).sum("latitude")
            self._mean_sums[name] = self._mean_sums.get(name, 0.0) + total
        truth = forecast[[f"{name}_truth" for name in names if f"{name}_truth" in forecast]]
        if not truth.data_vars:
            return
        scored = {"model": forecast}
        if initial is not None:
            scored["persistence"] = persistence(initial, forecast["lead_time"].values).merge(truth)
        for which, one in scored.items():
            fresh = [pooled(statistics(one))]
            if which in self._statistics:
                fresh.insert(0, self._statistics[which])
            self._statistics[which] = pooled(xr.concat(fresh, dim="init_time"))

    def rows(self, name: str, level: int | None = None) -> list[ScoreRow]:
        """The table of one variable, by lead.

        Args:
            name: short name.
            level: hPa, for a variable on levels.
        """
        means = _level_of(self._mean_sums[name] / self.inits, level)
        scores: dict[str, xr.DataArray] = {}
        for which, prefix in (("model", ""), ("persistence", "persistence_")):
            if name in self._statistics.get(which, {}):
                found = _level_of(metrics(self._statistics[which][[name]])[name], level)
                scores |= {f"{prefix}{m}": found.sel(metric=m) for m in ("rmse", "bias", "mae")}

        def value(column: str, position: int) -> float | None:
            if column not in scores or np.isnan(scores[column][position]):
                return None
            return float(scores[column][position])

        columns = ("rmse", "bias", "mae", "persistence_rmse")
        return [
            ScoreRow(float(hour), float(means[i]), *(value(column, i) for column in columns))
            for i, hour in enumerate(self._leads)
        ]


def field_names(forecast: xr.Dataset) -> list[str]:
    """Names of what is forecast, without truths and errors."""
    names = [str(name) for name in forecast.data_vars]
    return [name for name in names if not name.endswith(("_truth", "_error"))]


def forecast_fields(forecast: xr.Dataset) -> list[tuple[str, int | None]]:
    """(variable, level in hPa or None) of every map that is forecast."""
    return [
        (name, level)
        for name in field_names(forecast)
        for level in (
            forecast[name]["level"].values.tolist() if "level" in forecast[name].dims else [None]
        )
    ]


def _level_of(array: xr.DataArray, level: int | None) -> xr.DataArray:
    return array if level is None else array.sel(level=level)
