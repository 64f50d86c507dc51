"""Configs: every shipped file loads, a mistake is one line with its key path and line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from weathersvq.config import Experiment, experiment_from_dict, load_experiment
from weathersvq.errors import InputError
from weathersvq.models.published import load_benchmark

ROOT = Path(__file__).parents[1]
# Those of tables describe many experiments; tests/test_reproduce.py has them.
SHIPPED = sorted(
    path for path in (ROOT / "configs").rglob("*.yaml") if path.parent.name != "tables"
)

GOOD = """\
name: small
data:
  source: sample
  channels: [t2m, uv10]
  inputs: 12
  targets: 12
  train: 2010/2015
  validation: 2016
  test: 2017/2018
model:
  kind: simvp
  quantizer: {kind: svq, codebook_size: 100}
train:
  epochs: 10
"""


def load(tmp_path: Path, text: str, *overrides: str) -> Experiment:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return load_experiment(path, overrides)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_shipped_config_loads_and_survives_a_round_trip(path: Path) -> None:
    experiment = load_experiment(path)
    again = experiment_from_dict(yaml.safe_load(experiment.to_yaml()))
    assert again == experiment
    if experiment.benchmark is not None:
        load_benchmark(experiment.benchmark)
    assert again.data.selection == "validation", "the test period is never looked at by default"


def test_offsets_and_groups_are_spelt_out(tmp_path: Path) -> None:
    experiment = load(tmp_path, GOOD)
    assert experiment.data.inputs == tuple(range(-11, 1))
    assert experiment.data.targets == tuple(range(1, 13))
    assert experiment.data.channels == ("t2m", "u10", "v10")
    assert experiment.model.quantizer.codebook_size == 100


def test_set_changes_a_key_at_any_depth(tmp_path: Path) -> None:
    experiment = load(
        tmp_path, GOOD, "train.lr=1e-3", "model.quantizer={kind: identity}", "data.inputs=[-2, 0]"
    )
    assert experiment.train.lr == 1e-3
    assert experiment.model.quantizer.kind == "identity"
    assert experiment.data.inputs == (-2, 0)


@pytest.mark.parametrize(
    ("text", "shape"),
    [("5.625", (32, 64)), ("2.8125", (64, 128)), ("'2.8125'", (64, 128)), ("1.40625", (128, 256))],
)
def test_grids_by_their_cells(tmp_path: Path, text: str, shape: tuple[int, int]) -> None:
    data = load(tmp_path, GOOD, f"data.grid={text}").data
    assert data.target_grid.shape == shape
    assert data.grid == text.strip("'")
    assert load(tmp_path, GOOD).data.grid == "5.625"


def test_experiments_are_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(tmp_path, GOOD).train.epochs = 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "  epochs: 10",
            "  epoch: 10",
            r"line 14: train.epoch: unknown key; did you mean 'epochs'",
        ),
        ("epochs: 10", "epochs: many", r"line 14: train.epochs: 'many': input should be"),
        ("epochs: 10", "epochs: 3", r"train: .*warmup_epochs \(5\) must be below epochs \(3\)"),
        ("[t2m, uv10]", "[t2n]", r"line 4: data.channels: .*unknown variable 't2n'"),
        ("2016", "2015/2016", r"line 2: data: the train and validation periods overlap"),
        ("2017/2018", "later", r"data: 'later' is not a period"),
        ("  source: sample\n", "", r"line 2: data.source: this key is missing"),
        ("simvp", "simwp", r"line 10: model: .*unknown model 'simwp'.*did you mean 'simvp'"),
        (
            "codebook_size",
            "codebok_size",
            r"line 12: model.quantizer.codebok_size: .*codebook_size",
        ),
        ("codebook_size: 100", "codebook_size: 0", r"line 12: model.quantizer.codebook_size: 0: "),
        (
            "  inputs: 12",
            "  grid: 1.5\n  inputs: 12",
            r"line 5: data.grid: '?1.5'?: expected one of 5.625, 2.8125, 1.40625",
        ),
        ("[t2m, uv10]", "[t2m, lsm]", r"line 4: data.channels: .*lsm is a map without time"),
        ("name: small\n", "name: a/b\n", r"line 1: name: 'a/b'"),
    ],
)
def test_mistakes_name_key_and_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(InputError, match=message) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [1", "a: b: c"])
def test_files_that_hold_no_config(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"config\.yaml") as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't read"):
        load_experiment(tmp_path / "none.yaml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="can't read"):
        load_experiment(binary)


@pytest.mark.parametrize("assignment", ["train.lr", "=3", "name.x=1", "train.lr=[1"])
def test_bad_assignments(tmp_path: Path, assignment: str) -> None:
    with pytest.raises(InputError, match="--set"):
        load(tmp_path, GOOD, assignment)


def test_a_model_of_the_benchmarks_list_brings_its_settings(tmp_path: Path) -> None:
    path = ROOT / "configs" / "weatherbench_s" / "t2m.yaml"
    swin = load_experiment(path, ["train.epochs=20", "model=simvp_swin"])
    assert swin.model.translator.kind == "swin"
    assert (swin.train.lr, swin.train.epochs) == (1e-3, 20)
    own_rate = load_experiment(path, ["train.lr=0.5", "model=simvp_swin"])
    assert own_rate.train.lr == 0.5
    with pytest.raises(InputError, match="weatherbench_s has no model 'simvp_svin'; did you mean"):
        load_experiment(path, ["model=simvp_svin"])
    # Without a benchmark, or for what its list lacks, a kind of model is chosen.
    assert load(tmp_path, GOOD, "model=persistence").model.kind == "persistence"
    with pytest.raises(InputError, match="no benchmark 'weatherbench'; did you mean"):
        load(tmp_path, "benchmark: weatherbench\n" + GOOD, "model=simvp")
