"""Going through the initial times: scores by hand, parts in any order, memory, gaps."""

from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weathersvq.data.workers import Workers, start_workers
from weathersvq.variables import parse_channels
from weathersvq.verification import evaluation
from weathersvq.verification.evaluation import Tally, evaluate, gathered
from weathersvq.verification.plan import make_plan
from weathersvq.verification.results import Results

HOUR = np.timedelta64(3600, "s")
SUMMED = ("squared", "error", "known", "power", "power_count")


def assert_same(one: Tally, other: Tally, rtol: float = 1e-12) -> None:
    np.testing.assert_array_equal(one.inits, other.inits)
    np.testing.assert_allclose(one.sums, other.sums, rtol=rtol)
    for name in SUMMED:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=rtol, atol=1e-9)
    for mine, theirs in zip([*one.best, *one.worst], [*other.best, *other.worst], strict=True):
        assert mine is not None
        assert theirs is not None
        assert mine.init == theirs.init
        np.testing.assert_array_equal(mine.forecast, theirs.forecast)


def test_known_errors(make_forecast: Callable[..., Path], source: Path, wave: xr.Dataset) -> None:
    warm = make_forecast("warm", 2.0, hours=range(96, 144, 3))
    plan = make_plan([str(warm)], source=str(source), climatology="2016-12-28/2016-12-31")
    scores = Results(plan, evaluate(plan)).scores(("lead", "region")).sel(channel="t2m")
    own = scores.sel(forecast="warm")
    for region in plan.regions.names:
        np.testing.assert_allclose(own.sel(region=region, metric="rmse"), 2, rtol=1e-5)
        np.testing.assert_allclose(own.sel(region=region, metric="bias"), 2, rtol=1e-5)
        np.testing.assert_allclose(own.sel(region=region, metric="mse_unweighted"), 4, rtol=1e-5)
    # Persistence and the mean by hour of the four days, from the fields themselves.
    field = wave["t2m"].astype(np.float64)
    valid = plan.inits + 3 * HOUR
    truth = field.sel(time=valid).values
    normal = field.sel(time=slice("2016-12-28", "2016-12-31")).groupby("time.hour").mean()
    usual = normal.sel(hour=xr.DataArray(valid).dt.hour).values
    globe = scores.sel(region="globe").isel(lead_time=2)
    for name, fields in (
        ("persistence", field.sel(time=plan.inits).values),
        ("climatology", usual),
    ):
        expected = np.square(fields - truth).mean()
        found = globe.sel(forecast=name, metric="mse_unweighted")
        assert float(found) == pytest.approx(expected, rel=1e-4), name
    # With a climatology of four days the wave turns round three times: it is all anomaly.
    assert float(globe.sel(forecast="warm", metric="acc")) > 0.9


def by_wire(sent: Any) -> Any:
    return pickle.loads(pickle.dumps(sent))  # noqa: S301 (our own)


@pytest.mark.parametrize("inits", [5, 40])
def test_parts_of_any_size_give_the_same(
    results: Results, inits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "MOST_INITS_AT_ONCE", inits)
    reports: list[int] = []
    found = evaluate(results.plan, report=lambda done, of: reports.append(done))
    assert_same(found, results.tally)
    assert len(reports) == -(-results.plan.inits.size // inits)
    assert reports[-1] == results.plan.inits.size


def test_workers_get_the_plan_by_wire_and_may_answer_in_any_order(results: Results) -> None:
    class Crew(Workers):
        def map(self, function: Callable[[Any], Any], arguments: Sequence[Any]) -> Iterator[Any]:
            assert len(arguments) > 2
            for argument in reversed(arguments):
                yield by_wire(function(by_wire(argument)))

    crew = Crew(2, client=object())  # type: ignore[arg-type]
    found = evaluate(results.plan, crew)
    assert_same(found, results.tally)
    split = Results(results.plan, found)
    for by in (("lead", "region"), ("lead",), ("season", "hour"), ()):
        np.testing.assert_allclose(split.scores(by), results.scores(by), atol=1e-12)


@pytest.mark.timeout(100)
def test_a_worker_process_runs_a_model_on_a_lazy_source() -> None:
    # The model reads ahead in a thread, which must not ask the cluster whose one worker it is.
    plan = make_plan(["bundled"], var="t2m", lead="2h", limit=4, regions=["globe"])
    with start_workers("local", 1) as crew:
        found = evaluate(plan, crew)
    np.testing.assert_allclose(found.sums, evaluate(plan).sums, rtol=1e-4)


@pytest.fixture(scope="module")
def pieces(results: Results) -> list[Tally]:
    """The tally of each six initial times."""
    stretches = np.array_split(results.plan.inits, 8)
    return [evaluation.evaluate_stretch((results.plan, each)) for each in stretches]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.permutations(range(8)), st.lists(st.integers(1, 7), max_size=4))
def test_merged_in_any_order_and_grouping_they_are_the_whole(
    pieces: list[Tally], results: Results, order: list[int], cuts: list[int]
) -> None:
    groups = np.split(np.array(order), sorted(set(cuts)))
    found = gathered(gathered(pieces[i] for i in group) for group in groups)
    whole = gathered(pieces)
    # Exactly: sums by initial time are put in order, never added.
    np.testing.assert_array_equal(found.sums, whole.sums)
    np.testing.assert_array_equal(found.inits, results.plan.inits)
    merged, one = (Results(results.plan, each).scores() for each in (found, whole))
    np.testing.assert_array_equal(merged, one)
    assert_same(found, results.tally)


def test_memory_does_not_grow_with_the_initial_times(
    make_forecast: Callable[..., Path], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two initial times of 3 leads and 2 variables take 98 kB: four at a time, then.
    monkeypatch.setattr(evaluation, "PART_BYTES", 200_000)
    path = make_forecast("many", 1.0, hours=range(24, 84))
    plan = make_plan([str(path)], source=str(source), regions=["globe"])

    def peak(count: int) -> int:
        few = replace(plan, inits=plan.inits[:count])
        tracemalloc.start()
        evaluate(few)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # What is kept until the end is bounded by the plan.
        return most - 2 * few.sum_bytes

    peak(8)  # what is loaded once
    assert peak(60) < 1.2 * peak(12)


def test_too_much_to_keep_is_refused(good: Path, source: Path, monkeypatch: Any) -> None:
    # One forecast, persistence: 2 x 10 sums x 48 inits x 3 leads x 2 variables x 9 regions x 8 bytes.
    plan = make_plan([str(good)], source=str(source))
    assert plan.sum_bytes == 2 * 10 * 48 * 3 * 2 * 9 * 8
    monkeypatch.setattr("weathersvq.verification.plan.MOST_BYTES", plan.sum_bytes - 1)
    with pytest.raises(ValueError, match=r"sums of 48 initial times, 3 leads.*give --every"):
        make_plan([str(good)], source=str(source))
    assert make_plan([str(good)], source=str(source), limit=47).inits.size == 47


def test_gaps_in_the_truth_count_nowhere(
    make_forecast: Callable[..., Path], wave: xr.Dataset, tmp_path: Path
) -> None:
    path = make_forecast("warm", 2.0, hours=range(96, 144, 3))
    # Hour 100 follows an initial time, 99; of 111, which is one, and follows 108, a row is missing.
    holed = wave.copy(deep=True)
    holed["t2m"][{"time": 111, "latitude": 3}] = np.nan
    holed = holed.isel(time=np.delete(np.arange(240), 100))
    holed.to_zarr(tmp_path / "holed.zarr", zarr_format=2, consolidated=True)
    plan = make_plan([str(path)], source=str(tmp_path / "holed.zarr"))
    tally = evaluate(plan)
    rmse = Results(plan, tally).scores(("lead",)).sel(metric="rmse", forecast="warm")
    np.testing.assert_allclose(rmse, 2, rtol=1e-5)
    t2m, u10 = (plan.channels.index(channel) for channel in parse_channels("t2m,u10"))
    # 16 initial times at 1 and at 3 h: u10 lacks hour 100 alone, t2m's row that of 111 as initial
    # state at both leads and as truth at 3 h.
    assert tally.known[:, u10, 3, 0].tolist() == [15, 16]
    assert tally.known[:, t2m, 3, 0].tolist() == [14, 14]
    assert tally.known[:, t2m, 4, 0].tolist() == [15, 16]


def test_best_and_worst_cases(make_forecast: Callable[..., Path], source: Path) -> None:
    def growing(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        size = np.array([3.0, 1.0, 5.0, 2.0, 4.0, 4.5])
        return np.broadcast_to(size[:, None, None, None], shape)

    path = make_forecast("cases", growing, hours=range(30, 60, 5))
    plan = make_plan([str(path)], source=str(source))
    tally = evaluate(plan)
    for best, worst in zip(tally.best, tally.worst, strict=True):
        assert best is not None
        assert worst is not None
        assert (best.init, worst.init) == (plan.inits[1], plan.inits[2])
        assert best.rmse == pytest.approx(1, rel=1e-5)
        np.testing.assert_allclose(worst.forecast - worst.truth, 5, atol=1e-4)


def test_maps_and_spectra_by_hand(results: Results, wave: xr.Dataset) -> None:
    maps = results.error_maps("good").sel(channel="t2m")
    assert maps["rmse"].dims == ("lead_time", "latitude", "longitude")
    # Noise of 1 K in every cell, over 48 initial times.
    assert float((maps["rmse"] ** 2).mean()) == pytest.approx(1, rel=0.02)
    assert float(np.abs(maps["bias"]).max()) < 5 / 48**0.5
    spectra = results.spectra
    assert spectra is not None
    truth = spectra.sel(forecast="truth", channel="t2m", lead_time=HOUR)
    # The wave has wavenumber 3 alone, 8 cos(latitude): half of the square, a mean over the sphere.
    weights = results.plan.grid.area_weights()
    expected = (32 * np.cos(np.deg2rad(wave["latitude"].values)) ** 2 * weights).mean()
    assert float(truth.sel(wavenumber=3)) == pytest.approx(expected, rel=1e-4)
    assert float(truth.sel(wavenumber=slice(4, None)).sum()) < 1e-4
    # White noise adds its variance: all but the share of the zonal mean.
    noise = spectra.sel(forecast="good", channel="t2m", lead_time=HOUR) - truth
    assert float(noise.sel(wavenumber=slice(1, None)).sum()) == pytest.approx(63 / 64, rel=0.06)
