"""The paper's own figures, and differences between two sides."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from weathersvq.reproduce.results import (
    Finished,
    by_experiment,
    paired,
    paired_by_seed,
    paper_rows,
    paper_value,
)
from weathersvq.reproduce.tables import PaperRows, TableConfig, load_table

TABLES = Path(__file__).parents[2] / "configs" / "tables"


def test_paired_by_hand() -> None:
    # Relative differences 0.1 and 0.3: mean 0.2, deviation sqrt(0.02), error 0.1; t(0.975, 1) = 12.706.
    found = paired([1.1, 2.6], [1.0, 2.0])
    assert found.mean == pytest.approx(0.2)
    assert (found.low, found.high) == (
        pytest.approx(0.2 - 1.2706, rel=1e-3), pytest.approx(0.2 + 1.2706, rel=1e-3)
    )  # fmt: skip
    assert found.verdict == "no difference shown"
    assert paired([0.9, 0.901, 0.899], [1, 1, 1]).verdict == "better"
    assert paired([1.1, 1.101, 1.099], [1, 1, 1]).verdict == "worse"
    assert paired([2.0], [1.0]).high == math.inf
    assert paired([2.0], [1.0]).verdict == "one seed"


def test_only_seeds_that_both_have_are_paired() -> None:
    # Seed 2 alone is common: 3 / 2 - 1.
    found = paired_by_seed({1: 9.0, 2: 3.0}, {2: 2.0, 5: 7.0})
    assert found is not None
    assert (found.mean, found.seeds) == (0.5, 1)
    assert paired_by_seed({1: 9.0}, {2: 2.0}) is None


def test_the_papers_own_figures(table: TableConfig) -> None:
    study = table.studies["wave"]
    assert paper_value(study, {"quantizer": "none", "loss": "MAE"}, "MSE") == 1.126
    assert paper_value(study, {"quantizer": "other", "loss": "MAE"}, "MSE") is None
    one = study.model_copy(
        update={"names": {}, "paper": PaperRows(table="1", dataset="WeatherBench-M")}
    )
    rows = {
        (row["variable"], row["model"]): float(row["value"])
        for row in paper_rows()
        if row["table"] == "1" and row["dataset"] == "WeatherBench-M" and row["metric"] == "MSE"
    }
    assert paper_value(one, {"model": "SimVP"}, "MSE", "r") == rows["r", "SimVP"]


@pytest.mark.parametrize("name", ["table3", "table4", "table5", "table6", "table7", "table8",
                                  "table13", "table15"])  # fmt: skip
def test_every_row_of_a_table_finds_the_papers_row(name: str) -> None:
    for study in load_table(name, TABLES).studies.values():
        count = 0
        for key in _combinations(study.axes):
            count += paper_value(study, key, "MSE") is not None
        of_paper = [
            row for row in paper_rows()
            if study.paper and row["table"] == study.paper.table and row["metric"] == "MSE"
            and row["dataset"] == study.paper.dataset
        ]  # fmt: skip
        assert count == len(of_paper)


def _combinations(axes: dict[str, dict[str, dict[str, object]]]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = [{}]
    for axis, values in axes.items():
        found = [{**each, axis: value} for each in found for value in values]
    return found


def test_errors_of_a_variable_are_those_of_its_channels(finished: list[Finished]) -> None:
    one = finished[0]
    assert one.variables == ("t2m", "u10")
    # Two channels count alike in the mean of all.
    both = [one.error("mse", name) for name in one.variables]
    assert one.error("mse") == pytest.approx(sum(both) / 2)
    assert len(by_experiment(finished)) == 2
    assert [len(members) for members in by_experiment(finished).values()] == [2, 2]
