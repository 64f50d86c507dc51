"""What is shown of runs that were really made, and of the lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from weathersvq.reproduce.results import Finished
from weathersvq.reproduce.runner import MAPS_FILE
from weathersvq.reproduce.tables import TableConfig, load_table
from weathersvq.reproduce.views import VIEWS, Part, Shown, costs
from weathersvq.reproduce.views.curves import course

TABLES = Path(__file__).parents[2] / "configs" / "tables"


@pytest.fixture
def shown(table: TableConfig, finished: list[Finished]) -> Shown:
    return Shown(table, table.studies["wave"], "smoke", finished)


def drawn(part: Part) -> None:
    """Pictures can be drawn, and something is in them."""
    for picture in part.pictures:
        canvas = FigureCanvasAgg(picture.figure)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())
        assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 20
        assert picture.caption


def test_usage_is_of_quantizers_that_have_a_codebook(shown: Shown) -> None:
    part = VIEWS["usage"](shown)
    text = "\n".join(part.lines)
    none, svq = (next(x for x in part.lines if x.startswith(f"| {n}")) for n in ("none", "SVQ"))
    assert none.split("|")[3].strip() == ""
    assert float(svq.split("|")[3].split("±")[0]) > 0
    assert "GMACs" in text
    # One of them is the fastest.
    assert "| 1.00 |" in text


def test_curves_read_the_metrics(shown: Shown) -> None:
    values = course(shown.finished[0], "validation_loss")
    assert values is not None
    assert len(values) == 1
    assert course(shown.finished[0], "no such column") is None
    drawn(VIEWS["curves"](shown))


def test_error_by_size_of_the_codebook(shown: Shown, table: TableConfig) -> None:
    # Each run as if its axis were the size of its codebook.
    finished = [
        Finished(
            type(each.run)("wave", {"quantizer": "SVQ", "codes": str(2 + n // 2)}, each.run.seed,
                           each.run.experiment), each.result, each.folder,
        )
        for n, each in enumerate(shown.finished)
    ]  # fmt: skip
    drawn(VIEWS["by_size"](Shown(table, shown.study, "smoke", finished)))


def test_error_maps_and_bands_agree_with_the_maps(shown: Shown) -> None:
    part = VIEWS["error_maps"](shown)
    drawn(part)
    first = shown.finished[0]
    same = [each for each in shown.finished if each.key == first.key]
    parts = []
    for each in same:
        with np.load(each.folder / MAPS_FILE) as maps:
            parts.append(maps["model"][:, 0])
    # The tropical band by hand: rows between 20 S and 20 N of 5.625 degrees are 13 to 18 (centres
    # -14.06 to 14.06); their areas go with the cosine of their latitudes.
    rows = np.arange(-87.1875, 90, 5.625)
    inside = np.abs(rows) < 20
    weights = np.cos(np.deg2rad(rows[inside]))
    means = np.mean(parts, axis=0)[:, inside].mean(axis=(0, 2))
    expected = np.sqrt((means * weights).sum() / weights.sum())
    line = next(x for x in part.lines if x.startswith("| 20 S - 20 N"))
    assert float(line.split("|")[2]) == pytest.approx(expected, rel=1e-3)


def test_strips_show_truth_forecast_and_error(shown: Shown) -> None:
    drawn(VIEWS["strips"](shown))


def test_settings_and_quantizers_come_from_the_lists() -> None:
    table = load_table("table10", TABLES)
    text = "\n".join(VIEWS["settings"](Shown(table, None, "full", ())).lines)
    assert "`predrnnpp`" in text
    assert "translator moganet" in text
    text = "\n".join(VIEWS["quantizers"](Shown(table, None, "full", ())).lines)
    # Table 11: VQ has 512 codes.
    vq = next(line for line in text.splitlines() if line.startswith("| `vq`"))
    assert "codebook_size 512" in vq


def test_sizes_stand_beside_table_12(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "BENCHMARKS", {"WeatherBench-S": "weatherbench_s"})
    few = {name: costs.TABLE_12[name] for name in ("SimVP (w/o VQ)", "SimVP+SVQ")}
    monkeypatch.setattr(costs, "TABLE_12", few)
    part = VIEWS["sizes"](Shown(load_table("table12", TABLES), None, "full", ()))
    simvp = next(line for line in part.lines if line.startswith("| SimVP (w/o VQ)"))
    assert "| 12.8 | 12.76 | -0.0% | 6.99 | 7.01 |" in simvp
