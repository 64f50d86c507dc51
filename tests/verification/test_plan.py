"""What can be compared, and what a user is told where it can't be: through the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from weathersvq.bundled import bundled_model
from weathersvq.data.climatology import climatology_sums, merge_sums, solve_climatology
from weathersvq.data.sources import open_source
from weathersvq.data.windows import Period
from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.verification.contestants import Trained, open_contestants
from weathersvq.verification.plan import make_plan

HOUR = np.timedelta64(3600, "s")
MakeForecast = Callable[..., Path]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def refused(run: Run) -> Callable[..., str]:
    """Run `evaluate` with what is wrong: exit code 2 and one line, which is returned."""

    def command(*arguments: object) -> str:
        code, out, error = run("evaluate", *arguments)
        assert (code, out) == (2, "")
        assert error.count("\n") == 1
        assert error.startswith("weathersvq: ")
        assert not list(Path().iterdir())
        return error

    return command


class TestCommon:
    def test_what_all_of_them_have(
        self, good: Path, make_forecast: MakeForecast, source: Path
    ) -> None:
        other = make_forecast("other", hours=range(48, 180, 3), leads=(2, 3, 4), names=("t2m",))
        plan = make_plan(
            [str(good), str(other)], source=str(source), period="2016-12-30/2017-01-04"
        )
        assert plan.forecasts == ("good", "other", "persistence")
        assert [str(channel) for channel in plan.channels] == ["t2m"]
        assert (plan.leads / HOUR).tolist() == [2, 3]
        # Every fourth hour from 24 and every third from 48: every twelfth, while 3 h are left.
        assert np.diff(plan.inits).tolist() == [12 * HOUR] * (plan.inits.size - 1)
        assert plan.inits[0] == np.datetime64("2016-12-30T00:00:00")
        assert "Not compared, as not all forecast them: u10." in plan.notes

    def test_every_and_limit(self, good: Path, source: Path) -> None:
        def hours(**options: object) -> list[int]:
            plan = make_plan([str(good)], source=str(source), **options)  # type: ignore[arg-type]
            return ((plan.inits - np.datetime64("2016-12-29")) // HOUR).tolist()

        assert hours() == list(range(0, 192, 4))
        assert hours(every="24h") == list(range(0, 192, 24))
        assert hours(limit=3) == [0, 96, 188]
        assert hours(every="24h", limit=2) == [0, 168]
        assert hours(limit=1000) == hours()

    def test_one_of_several_levels_and_leads(self, good: Path, source: Path) -> None:
        plan = make_plan([str(good)], source=str(source), var="u10", lead="2h")
        assert [str(channel) for channel in plan.channels] == ["u10"]
        assert (plan.leads / HOUR).tolist() == [1, 2]

    def test_a_stored_climatology_serves_as_well_as_a_fitted_one(
        self, good: Path, source: Path, wave: xr.Dataset, tmp_path: Path
    ) -> None:
        store = tmp_path / "prepared.zarr"
        wave.to_zarr(store, zarr_format=2, consolidated=True)
        # As the tasks of `prepare` make it, day by day.
        training = wave.sel(time=slice("2016-12-28", "2017-01-01"))
        days = (training.isel(time=slice(start, start + 24)) for start in range(0, 120, 24))
        sums = merge_sums(climatology_sums(day, harmonics=0) for day in days)
        marked = solve_climatology(sums, wave).assign(t2m=lambda c: c.t2m + np.float32(1))
        marked.to_zarr(store, group="climatology", mode="a", zarr_format=2, consolidated=False)

        def fitted(path: Path, period: str) -> xr.Dataset:
            found = make_plan([str(good)], source=str(path), climatology=period).climatology
            assert found is not None
            return found

        period = "2016-12-28/2017-01-01"
        stored, own = fitted(store, period), fitted(source, period)
        # The degree shows that it is the stored one; else they are the same.
        xr.testing.assert_allclose(stored.u10, own.u10, rtol=1e-6, atol=1e-6)
        xr.testing.assert_allclose(stored.t2m - 1, own.t2m, rtol=1e-6)
        assert stored.attrs == own.attrs
        assert fitted(store, "2016-12-29/2017-01-01").attrs != stored.attrs

    def test_without_a_period_it_is_what_the_stored_forecasts_cover(
        self, make_forecast: MakeForecast, source: Path
    ) -> None:
        early = make_forecast("early", hours=range(60, 120, 6))
        late = make_forecast("late", hours=range(90, 180, 6))
        plan = make_plan([str(early), str(late)], source=str(source))
        # From the first of the later ones to the end of the last of the earlier ones.
        assert str(plan.period) == "2016-12-31T18:00:00/2017-01-01T21:00:00"
        assert plan.inits.size == 5


def test_names(good: Path) -> None:
    text = str(good)
    names = [each.name for each in open_contestants([text, text, text, f"mine={text}"])]
    assert names == ["good", f"{good.parent.name}/good", "good (3)", "mine"]


class TestTrained:
    """The bundled model, whose test years the sample has ten days of."""

    def test_the_part_of_the_test_period_that_is_there(self) -> None:
        plan = make_plan(["bundled"], climatology="2016-12-20/2016-12-31")
        assert str(plan.period) == "2017-01-01T00:00:00/2017-01-10T23:00:00"
        assert plan.notes == (
            "Only a part of the test period of the first model, "
            "2017-01-01T00:00:00/2018-12-31T23:59:59, is there: "
            "2017-01-01T00:00:00/2017-01-10T23:00:00.",
        )
        # 240 hours hold 240 - 12 - 12 + 1 windows, the first at 11 h.
        assert plan.inits.size == 217
        assert plan.inits[0] == np.datetime64("2017-01-01T11")
        # Twelve days have no annual course.
        assert plan.climatology_period.endswith("(mean by hour of day)")
        assert plan.climatology is not None
        assert plan.climatology.sizes["coefficient"] == 1
        assert plan.simulated

    def test_longer_leads_leave_fewer_initial_times(self) -> None:
        assert make_plan(["bundled"], lead="72h", var="t2m").inits.size == 217 - 60

    def test_what_it_has_learnt_from_is_no_test(self) -> None:
        plan = make_plan(["bundled"], period="2016-12-20/2016-12-24", limit=3)
        assert plan.notes[0].startswith("Not a test: joint_svq had its best epoch chosen on a part")
        assert plan.notes[1].startswith("No climatology, ACC and skill against it: the source has")

    def test_flagged_times_are_in_no_window(self) -> None:
        sample = open_source("sample")
        usable = np.ones(sample.sizes["time"], dtype=bool)
        usable[np.flatnonzero(sample["time"].values == np.datetime64("2017-01-04"))] = False
        flagged = sample.assign_coords(usable=("time", usable))
        model = Trained(bundled_model())
        # 48 hours hold 25 windows; only the first of them touches the first hour.
        inits = model.inits(flagged, Period.parse("2017-01-04/2017-01-05"), 12 * HOUR)
        assert inits.size == 24
        assert inits[0] == np.datetime64("2017-01-04T12")
        with pytest.raises(InputError, match=r"holds no window.*left out: 1 that touch flagged"):
            model.inits(flagged, Period.parse("2017-01-04"), 12 * HOUR)


class TestRefused:
    def test_a_period_that_the_truth_does_not_cover(
        self, refused: Callable[..., str], good: Path, source: Path
    ) -> None:
        error = refused(good, "--source", source, "--period", "2016-12-30/2017-02-01")
        assert "the period 2016-12-30T00:00:00/2017-02-01T23:59:59 is not covered by" in error
        assert "give --period 2016-12-30T00:00/2017-01-06T23:00" in error
        error = refused(good, "--source", source, "--period", "2018")
        assert "they do not overlap" in error
        error = refused("bundled", "--period", "2017/2018")
        assert "give --period 2017-01-01T00:00/2017-01-10T23:00" in error

    def test_a_period_that_a_forecast_does_not_cover(
        self, refused: Callable[..., str], make_forecast: MakeForecast, source: Path
    ) -> None:
        short = make_forecast("short", hours=range(96, 144, 6))
        error = refused(short, "--source", source, "--period", "2016-12-28/2017-01-06")
        assert "whose 8 inits reach from 2017-01-01T00:00:00 to 2017-01-02T18:00:00" in error
        assert "give --period 2017-01-01T00:00:00/2017-01-02T21:00:00" in error
        error = refused(short, "--source", source, "--period", "2016-12-28/2016-12-30")
        assert "no whole forecast of it lies in the period" in error

    def test_forecasts_of_different_grids(
        self, refused: Callable[..., str], good: Path, make_forecast: MakeForecast,
        make_wave: Callable[..., xr.Dataset], source: Path,
    ) -> None:  # fmt: skip
        coarse = make_wave(names=("t2m",), grid=Grid.equiangular(11.25))
        other = make_forecast("coarse", truth=coarse, names=("t2m",))
        error = refused(good, other, "--source", source)
        assert "coarse is on the grid 16 x 32" in error
        assert "good on 32 x 64" in error
        assert "regrid one" in error

    def test_a_region_against_the_globe(
        self, refused: Callable[..., str], make_forecast: MakeForecast,
        make_wave: Callable[..., xr.Dataset], source: Path,
    ) -> None:  # fmt: skip
        britain = make_wave(names=("t2m",), grid=Grid(np.arange(50, 60.0), np.arange(350, 360.0)))
        error = refused(make_forecast("uk", truth=britain, names=("t2m",)), "--source", source)
        assert "the forecasts are on the grid 10 x 10" in error

    def test_forecasts_of_different_units(
        self, refused: Callable[..., str], good: Path, source: Path, tmp_path: Path
    ) -> None:
        with xr.open_zarr(good, consolidated=True, decode_timedelta=False) as store:
            celsius = store.load()
        celsius["2m_temperature"].attrs["units"] = "degC"
        celsius.to_zarr(tmp_path / "celsius.zarr", zarr_format=2, consolidated=True)
        error = refused(good, tmp_path / "celsius.zarr", "--source", source)
        assert "celsius.zarr gives t2m in 'degC', but forecasts are compared in 'K'" in error
        assert "convert it first" in error

    def test_a_region_with_no_cell(
        self, refused: Callable[..., str], good: Path, source: Path
    ) -> None:
        error = refused(good, "--source", source, "--region", "town=51.1,51.2,-0.2,-0.1")
        assert "'town=51.1,51.2,-0.2,-0.1' has no cell of the grid 32 x 64" in error
        assert "choose one that holds the centre of a cell" in error

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--by", "leads"], "--by 'leads' is not known; did you mean 'lead'"),
            (["--region", "tropic"], "did you mean 'tropics'"),
            (["--var", "tcc"], "--var tcc is not forecast by all; common are u10, t2m"),
            (["--lead", "30min"], "--lead 0.5 h is shorter than every lead"),
            (["--period", "2017/2016"], "ends before it starts"),
            (["--every", "no"], "'no' is not a length of time"),
            (["--climatology", "1999"], "they do not overlap"),
            (["--out", "scores.txt"], "expected .nc or .csv"),
            (["--report", "page.pdf"], "expected .html or .md"),
            (["--scheduler", "locl"], "unknown scheduler 'locl'"),
            (["persistence.zarr"], "no forecast at persistence.zarr"),
        ],
        ids=str,
    )
    def test_options(
        self,
        refused: Callable[..., str],
        good: Path,
        source: Path,
        options: list[str],
        message: str,
    ) -> None:
        assert message in refused(good, "--source", source, *options)

    def test_nothing_in_common(
        self, refused: Callable[..., str], good: Path, make_forecast: MakeForecast, source: Path
    ) -> None:
        odd = make_forecast("odd", hours=range(25, 200, 4), names=("t2m",))
        assert "no initial time" in refused(good, odd, "--source", source)
        later = make_forecast("later", leads=(4, 5))
        assert "no lead in common" in refused(good, later, "--source", source)
        wind = make_forecast("wind", names=("u10",))
        error = refused(odd, wind, "--source", source)
        assert "no variable in common: odd has t2m; wind has u10" in error
        assert "no initial time" in refused(odd, "--source", source, "--every", "24h").replace(
            "no initial times", "no initial time"
        )

    def test_names_of_baselines(
        self, refused: Callable[..., str], good: Path, source: Path
    ) -> None:
        assert "named like a baseline" in refused(f"persistence={good}", "--source", source)


def test_fewer_cases_than_a_bootstrap_needs(run: Run, good: Path, source: Path) -> None:
    code, out, error = run("evaluate", good, "--source", source, "--out", "scores.nc")
    assert (code, error) == (0, "")
    assert "no intervals: 48 initial times are fewer than the 240 that a block bootstrap" in out
    assert " to " not in out.split("no intervals")[0], "no interval is printed"
    with xr.open_dataset("scores.nc", decode_timedelta=True) as dataset:
        assert set(dataset.data_vars) == {"t2m", "u10", "t2m_power", "u10_power"}


def test_from_the_command_line_to_files(run: Run, good: Path, bad: Path, source: Path) -> None:
    code, out, _ = run(
        "evaluate", f"mine={good}", bad, "--source", source, "--var", "t2m", "--by", "lead",
        "--climatology", "2016-12-28/2016-12-31", "--out", "scores.csv", "--region", "tropics",
        "--limit", 6,
    )  # fmt: skip
    assert code == 0
    assert "2 metre temperature [K], globe, 6 initial times, area-weighted" in out
    assert "mine RMSE" in out
    assert "worse ACC" in out
    assert "wrote scores.csv" in out
    lines = Path("scores.csv").read_text().splitlines()
    assert lines[0] == "variable,metric,units,forecast,lead_hours,value"
    code, _, error = run("evaluate", good, "--source", source, "--out", "scores.csv")
    assert code == 2
    assert "scores.csv exists already" in error


def test_the_bundled_model_beats_persistence_at_every_lead(run: Run) -> None:
    # 2017 is test time: neither weights nor the choice of the epoch have seen it.
    code, _, _ = run("evaluate", "bundled", "--limit", 8, "--out", "scores.nc", "--by", "lead")
    assert code == 0
    with xr.open_dataset("scores.nc", decode_timedelta=True) as dataset:
        skill = dataset["t2m"].sel(forecast="joint_svq", metric="skill_persistence")
        assert skill.sizes["lead_time"] == 12
        assert float(skill.min()) > 0.5
