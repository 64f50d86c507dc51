"""`weathersvq models` and the models that `train --set model=` chooses from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from weathersvq.cli import app
from weathersvq.errors import InputError
from weathersvq.models import MODELS, catalogue
from weathersvq.models.catalogue import PARTS, find_part
from weathersvq.models.published import benchmark_names, load_benchmark
from weathersvq.models.size import Size
from weathersvq.schema import kind_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _counted_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sizes themselves are tested in tests/models; here they would take minutes."""
    monkeypatch.setattr(catalogue, "measure", lambda *_: Size(1_500_000, 2_000_000_000))


def call(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["models", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_json_has_the_keys_that_programs_rely_on() -> None:
    rows = json.loads(call("--json"))
    assert list(rows[0]) == [
        "name", "kind", "setting", "parameters", "macs", "published_parameters_m", "published_gmacs"
    ]  # fmt: skip
    by_name = {row["name"]: row for row in rows}
    assert by_name["predrnn"] == {
        "name": "predrnn", "kind": "predrnn", "setting": "12 x 1 x 32 x 64 -> 12",
        "parameters": 1_500_000, "macs": 2_000_000_000,
        "published_parameters_m": 23.57, "published_gmacs": 278.0,
    }  # fmt: skip


def test_table_shows_ours_beside_the_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    text = call("--benchmark", "kth")
    assert "KTH, 10 frames in, 20 out" in text
    # 1.5 M of 12.2 M, 2 GMAC of 62.8.
    row = next(line for line in text.splitlines() if " simvp " in line)
    assert "-87.7 %" in row
    assert "-96.8 %" in row
    assert "published for one application" in text


def test_a_config_gives_shape_and_benchmark() -> None:
    rows = json.loads(call("--json", "--config", str(ROOT / "configs/weatherbench_s/uv10.yaml")))
    assert {row["setting"] for row in rows} == {"12 x 2 x 32 x 64 -> 12"}
    assert next(row for row in rows if row["name"] == "simvp")["published_gmacs"] == 7.02


def test_markdown_is_one_table_a_case() -> None:
    text = call("--all", "--markdown")
    cases = sum(len(load_benchmark(name).cases) for name in benchmark_names())
    assert text.count("\n## ") == cases
    assert text.count("| simvp | ") == cases


@pytest.mark.parametrize("part", [kind_of(c.Config) for cs in PARTS.values() for c in cs])
def test_every_part_tells_about_itself(part: str) -> None:
    found = find_part(part)
    assert found.reference
    assert found.summary.endswith(".")
    assert all(option.description for option in found.options)


def test_options_of_options_have_the_models_own_defaults() -> None:
    options = {option.name: option.default for option in find_part("predrnnv2").options}
    assert options["sampling.mode"] == "reverse"
    assert "paper: Wang et al. (2021)" in call("predrnnv2")


def test_unknown_names() -> None:
    with pytest.raises(InputError, match="quantizer 'svvq'; did you mean 'svq'"):
        find_part("svvq")
    with pytest.raises(InputError, match="no benchmark 'kht'; did you mean 'kth'"):
        load_benchmark("kht")
    with pytest.raises(InputError, match="no case 't2'; did you mean 't2m'"):
        load_benchmark("weatherbench_s").shape("t2")


@pytest.mark.parametrize("name", benchmark_names())
def test_every_model_of_the_paper_is_on_every_list(name: str) -> None:
    kinds = {entry.model.model_dump()["kind"] for entry in load_benchmark(name).models.values()}
    lacking = {kind_of(model.Config) for model in MODELS} - kinds
    # The other benchmarks are not of weather, or were published without these.
    allowed = {"climatology", "autoregression"}
    if name == "weatherbench_s_fine":
        allowed |= {"e3dlstm", "prednet", "dmvfn", "persistence"}
    assert lacking <= allowed
