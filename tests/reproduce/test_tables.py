"""The paper's tables as data: what runs they ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from weathersvq.config import Experiment
from weathersvq.errors import InputError
from weathersvq.reproduce.tables import (
    TableConfig,
    View,
    essence,
    load_table,
    parse_scale,
    plan_runs,
    table_names,
)
from weathersvq.reproduce.views import VIEWS

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "configs" / "tables"
Make = Callable[..., Experiment]
# What the paper has, but for its drawings of the method (Figures 3 and 6) and Table 9's counts.
EXPECTED = {
    *(f"table{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15)),
    *(f"figure{n}" for n in (1, 2, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17)),
    "control",
    "theorem",
}


def test_every_table_and_figure_of_the_paper_is_described() -> None:
    assert set(table_names(TABLES)) == EXPECTED


@pytest.mark.parametrize("name", table_names(TABLES))
def test_every_table_can_be_planned(name: str) -> None:
    table = load_table(name, TABLES)
    for study in table.studies.values():
        for against in study.against:
            for axis, value in against.items():
                assert value in study.axes[axis] or table.only, "compared with what is there"
        for axis, names in study.names.items():
            assert table.only or set(names) <= set(study.axes[axis])
        for size in study.scales.values():
            for axis, values in size.axes.items():
                assert set(values) <= set(study.axes[axis]) or table.only
    for scale in {scale for study in table.studies.values() for scale in study.scales}:
        found = plan_runs(table, scale, ROOT)
        for study_name in table.studies:
            own = [run.folder_name for run in found if run.study == study_name]
            assert len(set(own)) == len(own), "each run is another one"
    # What continuous integration runs.
    if table.studies:
        assert plan_runs(table, "smoke", ROOT)


def test_views_are_those_that_tables_may_name() -> None:
    assert set(VIEWS) == set(get_args(View))


@pytest.fixture
def root(make_experiment: Make, tmp_path: Path) -> Path:
    """A folder with a base config."""
    experiment = make_experiment(train={"warmup_epochs": 0})
    (tmp_path / "base.yaml").write_text(experiment.to_yaml())
    return tmp_path


def test_runs_are_all_combinations_of_all_seeds(table: TableConfig, root: Path) -> None:
    runs = plan_runs(table, "smoke", root)
    assert [(run.seed, *run.values.values()) for run in runs[:4]] == [
        (1, "none", "MAE"), (1, "none", "MSE"), (1, "SVQ", "MAE"), (1, "SVQ", "MSE")
    ]  # fmt: skip
    assert len(runs) == 8
    last = runs[-1].experiment
    assert (last.seed, last.train.loss, last.train.epochs) == (2, "mse", 1)
    assert last.model.quantizer.codebook_size == 8


def test_a_scale_changes_what_values_do(table: TableConfig, root: Path) -> None:
    document = table.model_dump()
    scale = document["studies"]["wave"]["scales"]["smoke"]
    scale["axes"] = {"quantizer": {"SVQ": {"model.quantizer.codebook_size": 5}}}
    runs = plan_runs(TableConfig.model_validate(document), "smoke", root)
    assert runs[2].experiment.model.quantizer.codebook_size == 5
    assert runs[0].experiment.model.quantizer.kind == "identity"


def test_a_figure_takes_some_runs_of_a_table(table: TableConfig, root: Path) -> None:
    (root / "whole.yaml").write_text(yaml.safe_dump(table.model_dump(mode="json"), sort_keys=False))
    (root / "part.yaml").write_text(
        "{title: p, runs_of: whole, only: {loss: [MSE]}, views: [curves]}"
    )
    runs = plan_runs(load_table("part", root), "smoke", root, seeds=1)
    assert [tuple(run.values.values()) for run in runs] == [("none", "MSE"), ("SVQ", "MSE")]
    whole = plan_runs(table, "smoke", root, seeds=1)
    assert {run.folder_name for run in runs} < {run.folder_name for run in whole}


def test_identity_of_a_run_is_what_it_does(
    table: TableConfig, make_experiment: Make, tmp_path: Path
) -> None:
    def name_of(text: str, **changes: Any) -> str:
        document = yaml.safe_load(text) | changes
        (tmp_path / "base.yaml").write_text(yaml.safe_dump(document))
        return plan_runs(table, "smoke", tmp_path)[0].folder_name

    text = make_experiment(train={"warmup_epochs": 0}).to_yaml()
    assert name_of(text) == name_of(text, name="other", description="other words")
    shorter = yaml.safe_load(text)
    del shorter["train"]["noise"]  # a default, said or unsaid
    assert name_of(yaml.safe_dump(shorter)) == name_of(text)
    shorter["train"]["noise"] = 0.1
    assert name_of(yaml.safe_dump(shorter)) != name_of(text)


def test_essence_keeps_kinds_and_what_is_not_default(make_experiment: Make) -> None:
    content = essence(make_experiment())
    assert content["model"]["quantizer"] == {"kind": "svq", "codebook_size": 16}
    assert "gradient_clip" not in content["train"]


def test_mistakes(table: TableConfig, root: Path) -> None:
    with pytest.raises(InputError, match="no table 'controll'; did you mean 'control'"):
        load_table("controll", TABLES)
    with pytest.raises(InputError, match="run from the project's root"):
        table_names(root / "nowhere")
    with pytest.raises(InputError, match="no scale 'smal'; did you mean 'small'"):
        parse_scale("smal")
    with pytest.raises(InputError, match="there are smoke"):
        plan_runs(table, "full", root)
    with pytest.raises(InputError, match="no study 'waves'; did you mean 'wave'"):
        plan_runs(table, "smoke", root, study="waves")
    two = table.model_copy(update={"studies": table.studies | {"other": table.studies["wave"]}})
    with pytest.raises(InputError, match="can serve one study only; name it with --study: wave"):
        plan_runs(two, "smoke", root, source="sample")
    (root / "bad.yaml").write_text("{title: x, views: [tables]}")
    with pytest.raises(InputError, match=r"bad.yaml: views.0"):
        load_table("bad", root)
