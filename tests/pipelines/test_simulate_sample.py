"""The sample climate's program: calendar, packing, stores, pressure levels; with jcm also a run."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from weathersvq.errors import InputError
from weathersvq.grid import GLOBAL_5625, Grid

PIPELINES = Path(__file__).parents[2] / "pipelines"
# The scripts import one another by their folder, as they do when they are run.
sys.path.insert(0, str(PIPELINES))
sample_store: Any = importlib.import_module("sample_store")
speedy: Any = importlib.import_module("speedy")
simulate_sample: Any = importlib.import_module("simulate_sample")
bundle_sample: Any = importlib.import_module("bundle_sample")
sys.path.remove(str(PIPELINES))

SMALL_GRID = Grid([-45.0, 45.0], [0.0, 90.0, 180.0, 270.0])
PERIOD = sample_store.Days.parse("2012-02-27/2012-03-08")


# Calendar


def test_a_period_holds_both_its_ends_and_the_leap_day() -> None:
    assert PERIOD.days == 11
    times = PERIOD.times(6)
    assert times[0] == np.datetime64("2012-02-27T00:00:00")
    assert times[-1] == np.datetime64("2012-03-08T18:00:00")
    assert np.datetime64("2012-02-29T12:00:00") in times
    assert len(PERIOD.times(1)) == 11 * 24


@pytest.mark.parametrize("text", ["2010-13-01/2011-01-01", "", "2010-01-02/2010-01-01"])
def test_a_wrong_period_is_named(text: str) -> None:
    with pytest.raises(InputError, match="period"):
        sample_store.Days.parse(text)


def test_the_segments_fill_the_sample_and_never_share_a_chunk() -> None:
    training, evaluation = simulate_sample.SEGMENTS
    whole = simulate_sample.SAMPLE_PERIOD
    assert training.period.first == whole.first
    assert (evaluation.period.first - training.period.last).days == 1
    assert evaluation.period.last == whole.last
    assert training.period.days % sample_store.DAYS_A_CHUNK == 0
    # Equal starts would give both the same weather.
    assert training.seed != evaluation.seed
    assert min(training.spinup_days, evaluation.spinup_days) >= 90


# Packing


@pytest.mark.parametrize("store", sample_store.STORES, ids=lambda store: store.name)
def test_packing_keeps_values_to_half_a_step(store: Any) -> None:
    for name, packing in store.packing.items():
        low, high = packing.limits
        values = np.linspace(low, high, 1001).astype(np.float32)[1:-1]
        packed = packing.pack(values, name)
        assert packed.dtype == np.int16
        unpacked = packed * packing.scale + packing.offset
        rounding = np.abs(values).max() * np.finfo(np.float32).eps
        assert np.abs(unpacked - values).max() <= packing.scale / 2 + rounding
        assert (packed != packing.MISSING).all()


def test_nothing_is_clipped_and_nan_is_counted() -> None:
    packing = sample_store.SURFACE_PACKING["t2m"]
    with pytest.raises(FloatingPointError, match=r"t2m reaches from 15 to 20"):
        packing.pack(np.array([15.0, 20.0]), "t2m")  # Celsius by mistake
    with pytest.raises(FloatingPointError, match="2 values that are not finite"):
        packing.pack(np.array([280.0, np.nan, np.inf]), "t2m")


def test_shares_are_stored_to_both_ends() -> None:
    assert sample_store.SURFACE_PACKING["r"].pack(np.array([0.0, 100.0]), "r").tolist() == [
        -25000,
        25000,
    ]
    assert sample_store.SURFACE_PACKING["tcc"].pack(np.array([0.0, 1.0]), "tcc").tolist() == [
        -25000,
        25000,
    ]


# Stores


def fields_of_a_week(store: Any, days: int = 7) -> dict[str, np.ndarray]:
    shape = (days * store.steps_a_day, *([len(store.levels)] if store.levels else []), 2, 4)
    random = np.random.default_rng(0)
    result = {}
    for name, packing in store.packing.items():
        low, high = packing.limits
        result[name] = random.uniform(low, high, shape).astype(np.float32)
    return result


@pytest.mark.parametrize("store", sample_store.STORES, ids=lambda store: store.name)
def test_a_store_reads_back_what_was_written_and_nan_elsewhere(store: Any, tmp_path: Path) -> None:
    sample_store.create_store(tmp_path, store, PERIOD, SMALL_GRID, "a test")
    fields = fields_of_a_week(store)
    sample_store.write_chunk(tmp_path, store, 0, fields)
    written = 7 * store.steps_a_day
    with xr.open_zarr(tmp_path / store.name, consolidated=True) as dataset:
        assert set(dataset.data_vars) == set(store.packing)
        assert dataset["time"].values[0] == np.datetime64("2012-02-27T00:00:00")
        assert dataset["time"].values[-1] == PERIOD.times(store.step)[-1]
        assert "not past weather" in dataset.attrs["comment"] + dataset.attrs["title"]
        for name, values in fields.items():
            assert dataset[name].dims == store.dims
            np.testing.assert_allclose(
                dataset[name].values[:written], values, atol=0.51 * store.packing[name].scale
            )
            assert np.isnan(dataset[name].values[written:]).all()
            assert dataset[name].attrs["units"]
        if store.levels:
            assert dataset["level"].values.tolist() == [150, 500, 850]
            assert dataset["level"].attrs["units"] == "hPa"
    assert not list(tmp_path.glob(".*")), "temporary folders are left"


def test_a_store_that_is_there_is_kept_and_must_fit(tmp_path: Path) -> None:
    store = sample_store.SURFACE
    sample_store.create_store(tmp_path, store, PERIOD, SMALL_GRID, "a test")
    sample_store.write_chunk(tmp_path, store, 0, fields_of_a_week(store))
    sample_store.create_store(tmp_path, store, PERIOD, SMALL_GRID, "a test")
    with xr.open_zarr(tmp_path / store.name) as dataset:
        assert np.isfinite(dataset["t2m"].values[0]).all()
    other = sample_store.Days.parse("2012-02-27/2012-03-09")
    with pytest.raises(InputError, match="covers 2012-02-27"):
        sample_store.create_store(tmp_path, store, other, SMALL_GRID, "a test")


# The bundled slice


def test_the_bundle_holds_the_slice_to_its_coarser_steps(tmp_path: Path) -> None:
    store = sample_store.SURFACE
    sample_store.create_store(tmp_path, store, PERIOD, SMALL_GRID, "a test")
    fields = fields_of_a_week(store)
    sample_store.write_chunk(tmp_path, store, 0, fields)
    target = tmp_path / "sample.zarr"
    period = sample_store.Days.parse("2012-02-28/2012-03-01")
    size = bundle_sample.bundle(tmp_path / store.name, period, target)
    assert size == bundle_sample.size_of(target) > 0
    with xr.open_zarr(target, consolidated=True) as dataset:
        assert (dataset["time"].values == period.times(1)).all()
        for name, values in fields.items():
            step = store.packing[name].scale * bundle_sample.COARSER
            # Half a coarse step, and half a fine one from the first packing.
            np.testing.assert_allclose(dataset[name].values, values[24:96], atol=0.63 * step)


def test_a_slice_that_is_not_simulated_yet_or_too_large_is_not_bundled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = sample_store.SURFACE
    sample_store.create_store(tmp_path, store, PERIOD, SMALL_GRID, "a test")
    sample_store.write_chunk(tmp_path, store, 0, fields_of_a_week(store))
    target = tmp_path / "sample.zarr"
    with pytest.raises(InputError, match="does not hold all of 2012-02-27/2012-03-08"):
        bundle_sample.bundle(tmp_path / store.name, PERIOD, target)
    monkeypatch.setattr(bundle_sample, "LARGEST", 1000)
    week = sample_store.Days.parse("2012-02-27/2012-03-04")
    with pytest.raises(InputError, match="shorter --period"):
        bundle_sample.bundle(tmp_path / store.name, week, target)
    assert not target.exists()
    with pytest.raises(InputError, match="no store at"):
        bundle_sample.bundle(tmp_path / "nothing.zarr", week, target)


# Pressure levels

# Three model levels at 200, 500 and 800 hPa in a single column.
PRESSURES = np.array([200.0, 500.0, 800.0])
LOG_PRESSURE = np.log(PRESSURES)[None, :, None]


def column(*values: float) -> np.ndarray:
    return np.array(values)[None, :, None]


def test_interpolation_is_linear_in_the_logarithm_of_pressure() -> None:
    # A quantity that is ln p itself must come out as ln p; beyond the ends, as the end.
    for target, expected in ((300.0, 300.0), (500.0, 500.0), (700.0, 700.0), (150.0, 200.0)):
        bracket = speedy.Bracket.find(LOG_PRESSURE, np.log(target))
        result = bracket.interpolate(np.log(PRESSURES)[None, :, None])
        np.testing.assert_allclose(np.exp(result), [[expected]], rtol=1e-12)
    below = speedy.Bracket.find(LOG_PRESSURE, np.log(850.0))
    np.testing.assert_allclose(below.interpolate(column(1, 2, 3)), [[3.0]])


def test_each_column_has_its_own_bracket() -> None:
    # Sea level and a plateau at 0.6 of its pressure: 400 hPa is above or below the middle level.
    log_pressure = np.log(np.stack([PRESSURES, 0.6 * PRESSURES], axis=-1))[None]
    bracket = speedy.Bracket.find(log_pressure, np.log(400.0))
    assert bracket.above.tolist() == [[0, 1]]
    np.testing.assert_allclose(
        np.exp(bracket.interpolate(log_pressure)), [[400.0, 400.0]], rtol=1e-12
    )


def test_below_the_ground_temperature_follows_the_lapse_rate() -> None:
    # 500 m of air at 6.5 K/km: dT = 3.25 K; mean T 281.625 K gives dln p = g dz / (R T).
    warmth, depth = 3.25, 500.0
    ratio = np.exp(speedy.GRAVITY * depth / (speedy.GAS_CONSTANT * (280 + warmth / 2)))
    bracket = speedy.Bracket.find(LOG_PRESSURE, np.log(800 * ratio))
    temperature, geopotential = column(220, 260, 280), column(115000, 55000, 19000)
    np.testing.assert_allclose(bracket.temperature(temperature), [[283.25]], atol=2e-3)
    np.testing.assert_allclose(
        bracket.geopotential(geopotential, temperature),
        [[19000 - depth * speedy.GRAVITY]],
        atol=1.0,
    )


def test_geopotential_is_hydrostatic_between_levels() -> None:
    # T = a + b x with x = ln p gives z = z0 - R (a x + b x^2 / 2): a parabola, met exactly.
    a, b = -100.0, 58.0
    x = np.log(PRESSURES)
    temperature = (a + b * x)[None, :, None]

    def exact(x: Any) -> Any:
        return 600000.0 - speedy.GAS_CONSTANT * (a * x + b * x**2 / 2)

    for target in (250.0, 500.0, 620.0):
        bracket = speedy.Bracket.find(LOG_PRESSURE, np.log(target))
        result = bracket.geopotential(exact(x)[None, :, None], temperature)
        np.testing.assert_allclose(result, [[exact(np.log(target))]], rtol=1e-10)


def test_the_area_mean_weighs_rows_by_their_area() -> None:
    # The mean of sin(latitude)^2 over the sphere is 1/3; over rows alike it would be near 1/2.
    field = np.sin(np.deg2rad(GLOBAL_5625.latitude))[:, None] ** 2 * np.ones((2, 32, 64))
    assert simulate_sample.area_mean(field) == pytest.approx(1 / 3, abs=2e-3)


# The model


@pytest.fixture
def quick_compilation() -> Iterator[None]:
    """Three simulated days take seconds; XLA's optimisation of the program takes a minute."""
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.mark.skipif(
    importlib.util.find_spec("jcm") is None, reason="jcm (extra `simulate`) is not installed"
)
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("default")  # jcm's own calls into xarray and jax warn of their future
def test_a_resumed_simulation_is_the_unbroken_one(tmp_path: Path, quick_compilation: None) -> None:
    segment = simulate_sample.Segment(
        "trial", sample_store.Days.parse("2012-02-28/2012-03-01"), seed=3, spinup_days=1
    )
    state = tmp_path / "state.npz"
    climate = speedy.Climate(segment.period.start, segment.spinup_days, segment.seed)
    climate.spin_up()
    first = climate.day(0)
    assert climate.clock == np.datetime64("2012-02-28T23:30:00")
    simulate_sample.save_state(state, segment, climate, 1)
    unbroken = climate.day(1)
    # The same model object, so that nothing is compiled twice; its state is a fresh one.
    climate.model.bootstrap_state(climate.model.initial_state(random_seed=9))
    assert simulate_sample.load_state(state, segment, climate) == 1
    resumed = climate.day(1)
    assert climate.clock == np.datetime64("2012-02-29T23:30:00")
    for part in ("surface", "on_levels"):
        for name, values in getattr(resumed, part).items():
            np.testing.assert_array_equal(values, getattr(unbroken, part)[name])
            assert np.isfinite(values).all()
    assert first.surface["t2m"].shape == (24, 32, 64)
    assert first.on_levels["z"].shape == (4, 3, 32, 64)
    # The sun stands over Greenwich at 12 UTC and over the dateline at 0 UTC: over tropical land the
    # warmest hour comes soon after.
    africa = first.surface["t2m"][:, 15, 4]  # 2.8 S, 22.5 E, noon at 10:30 UTC
    assert 9 <= int(np.argmax(africa)) <= 15
    other = simulate_sample.replace(segment, seed=4)
    with pytest.raises(InputError, match="another run"):
        simulate_sample.load_state(state, other, climate)
