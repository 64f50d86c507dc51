"""The verb `reproduce`: what a person sees, and what a break costs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from weathersvq.config import Experiment
from weathersvq.reproduce.runner import RESULT_FILE
from weathersvq.reproduce.tables import TableConfig

ROOT = Path(__file__).parents[2]


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "weathersvq.cli", "reproduce", *map(str, arguments)]


def result_of(*arguments: str | Path, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_list_names_every_table() -> None:
    done = result_of("--list")
    assert done.returncode == 0
    assert "table4: SVQ beside other quantizers" in done.stdout
    assert len(done.stdout.splitlines()) == len(list((ROOT / "configs/tables").glob("*.yaml")))


def test_mistakes_end_in_one_line() -> None:
    for arguments, words in (
        (("table44",), "no table 'table44'; did you mean"),
        (("table4", "--scale", "huge"), "no scale 'huge'"),
        (("table14", "--scale", "small"), "no scale 'small' here; there are full, smoke"),
        (("table7", "--scale", "small", "--source", "sample"), "can serve one study only"),
    ):
        done = result_of(*arguments)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert words in done.stderr


def test_a_source_without_the_variable_is_found_at_once(tmp_path: Path) -> None:
    done = result_of(
        "figure2", "--scale", "smoke", "--limit", "1", "--scheduler", "synchronous",
        "--source", ROOT / "weathersvq" / "bundled" / "nothing.zarr", "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 2
    assert "1 of 1 runs failed" in done.stderr
    assert "nothing.zarr" in done.stderr


@pytest.fixture
def here(make_experiment: Callable[..., Experiment], table: TableConfig, tmp_path: Path) -> Path:
    """A folder with a table of four runs."""
    experiment = make_experiment(train={"warmup_epochs": 0})
    (tmp_path / "base.yaml").write_text(experiment.to_yaml())
    (tmp_path / "tables").mkdir()
    text = yaml.safe_dump(table.model_dump(mode="json"), sort_keys=False)
    (tmp_path / "tables" / "losses.yaml").write_text(text)
    return tmp_path


@pytest.mark.timeout(280)
def test_killed_and_repeated_it_completes_and_then_does_nothing(here: Path) -> None:
    arguments = ("losses", "--scale", "smoke", "--seeds", "1", "--tables", "tables",
                 "--scheduler", "synchronous", "--out", "out")  # fmt: skip
    process = subprocess.Popen(
        command(*arguments), cwd=here, start_new_session=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip

    def results() -> dict[str, int]:
        found = (here / "out" / "runs").glob(f"*/{RESULT_FILE}")
        return {path.parent.name: path.stat().st_mtime_ns for path in found}

    while not results():
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    first = results()
    assert 1 <= len(first) < 4

    done = result_of(*arguments, folder=here)
    assert done.returncode == 0, done.stderr
    second = results()
    assert len(second) == 4
    assert first.items() <= second.items(), "what was finished is not done again"
    assert "| SVQ | MSE" in done.stdout

    again = result_of(*arguments, folder=here)
    assert again.returncode == 0
    assert results() == second
    assert ": done" not in again.stderr
    assert {path.suffix for path in (here / "out").glob("losses_smoke*")} == {
        ".md",
        ".html",
        ".csv",
    }
