"""The report: the answer first, every figure that of the results, what is unknown left out."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from weathersvq.pages import Page
from weathersvq.verification.evaluation import evaluate
from weathersvq.verification.plan import make_plan
from weathersvq.verification.report import make_report
from weathersvq.verification.results import Results

NO_CLIMATOLOGY = "No climatology, ACC and skill against it: name its period (--climatology)."


@pytest.fixture(scope="module")
def page(spread: Results) -> Page:
    return make_report(spread, "mine")


def sections(page: Page) -> list[str]:
    return [line.removeprefix("## ") for line in page.lines if line.startswith("## ")]


def rows(page: Page, section: str) -> list[list[str]]:
    """Cells of the tables of a section."""
    text = page.markdown().split(f"\n## {section}")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_answer_comes_first_and_the_method_last(page: Page) -> None:
    assert page.title == "Verification of good and bad"
    assert sections(page) == [
        "In short",
        "Is bad better than good?",
        "Scores by lead",
        "By region, at 3 h",
        "By season of the valid time, RMSE at 3 h over the globe",
        "By hour of the valid time",
        "How errors grow",
        "Does the forecast blur?",
        "Where the errors are",
        "Best and worst cases",
        "Model card",
        "How these figures were made",
    ]


def test_figures_are_those_of_the_results(page: Page, spread: Results) -> None:
    table = rows(page, "In short")
    assert table[0][:3] == ["variable", "forecast", "RMSE"]
    cell = next(row for row in table if row[:2] == ["2 metre temperature", "good"])[2]
    match = re.fullmatch(r"(\S+) \((\S+) to (\S+)\) K", cell)
    assert match is not None
    pick = {"metric": "rmse", "forecast": "good", "channel": "t2m", "region": "globe"}
    assert spread.ends is not None
    expected = [float(one.sel(pick)[-1]) for one in (spread.by_lead, *spread.ends)]
    assert [float(each) for each in match.groups()] == pytest.approx(expected, rel=1e-3)
    better = rows(page, "Is bad better than good?")
    assert better[0] == ["variable", "lead", "difference of RMSE", "interval", "p"]
    assert all(row[4] == "below 0.001" and row[2].startswith("+") for row in better[1:])


def test_regions_seasons_and_cases(page: Page, spread: Results) -> None:
    regions = [row[0] for row in rows(page, "By region")]
    assert regions.count("northern extratropics") == 2  # of two variables
    seasons = rows(page, "By season")
    assert seasons[0] == ["variable", "forecast", "DJF", "MAM"]
    assert len(seasons) == 1 + 2 * 4
    text = page.markdown()
    assert re.search(r"Best, init 2016-12-29 00:00 UTC; RMSE: good \S+ K, bad \S+ K", text)


def test_every_picture_that_is_named_is_there(page: Page) -> None:
    named = re.findall(r"\]\(([^)]*\.png)\)", page.markdown())
    assert sorted(named) == sorted(page.pictures)
    assert len(named) == len(set(named)) > 30
    assert all(re.fullmatch(r"mine_[a-z0-9_]+\.png", name) for name in named)


def test_what_is_unknown_has_no_column(good: Path, source: Path) -> None:
    plan = make_plan([str(good)], source=str(source), var="t2m", regions=["globe"], limit=4)
    found = make_report(Results(plan, evaluate(plan)))
    assert plan.notes == (NO_CLIMATOLOGY,)
    text = found.markdown()
    assert f"> {NO_CLIMATOLOGY}" in text
    assert "> No intervals: 4 initial times are fewer than the" in text
    table = rows(found, "In short")
    assert table[0] == ["variable", "forecast", "RMSE", "skill against persistence", "bias"]
    assert not any(cell == "" for row in rows(found, "Scores by lead") for cell in row)
    absent = ("Is ", "By region", "How errors grow")
    assert not any(name.startswith(absent) for name in sections(found))
    assert "### 2 metre temperature" not in text, "one variable needs no headings"


def test_the_card_of_a_model_and_what_it_is_not_for() -> None:
    plan = make_plan(["bundled"], var="t2m", lead="24h", limit=2, regions=["globe"])
    text = make_report(Results(plan, evaluate(plan))).markdown()
    card = text.split("## Model card")[1]
    for row in (
        "| parameters | 686,901 |",
        "| variables | t2m, r, u10, v10, tcc |",
        "| held out for testing | 2017-01-01/2018-12-31 |",
    ):
        assert row in card
    # The kinds, too, which are defaults.
    assert "quantizer.kind svq" in card
    assert "translator.kind gsta" in card
    assert re.search(r"SHA-256 [0-9a-f]{64} \|", card)
    assert "climate simulation under its own calendar, not past weather" in card
    assert "was trained for leads up to 12 h; beyond them" in card


def test_pictures_have_few_bytes_and_the_colours_of_their_bar(page: Page, tmp_path: Path) -> None:
    name = "mine_t2m_bias_map1.png"
    figure = page.pictures[name]
    colours = []
    for palette in (page.palette, None):
        Page("one", [f"![map]({name})"], {name: figure}, palette).write(tmp_path / "one.md")
        with Image.open(tmp_path / name) as picture:
            assert picture.size == tuple(int(side * 80) for side in figure.get_size_inches())
            colours.append(np.asarray(picture.convert("RGB")).astype(int))
        if palette is not None:
            assert (tmp_path / name).stat().st_size < 40_000
    assert np.abs(colours[0] - colours[1]).max() < 24
