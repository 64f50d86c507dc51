"""The report in a real browser: no errors, every picture there, nothing wider than a telephone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from weathersvq.verification.evaluation import evaluate
from weathersvq.verification.plan import make_plan
from weathersvq.verification.results import Results

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PHONE, DESK = 390, 1200

# Runs in the page once everything is loaded.
PROBE = """
<script>
addEventListener("load", () => {
  const images = [...document.images], page = document.documentElement;
  const found = {
    width: innerWidth,
    pictures: images.length,
    broken: images.filter(one => !(one.complete && one.naturalWidth > 0)).map(one => one.alt),
    without_text: images.filter(one => !one.alt).length,
    overflow: page.scrollWidth - page.clientWidth,
    smallest: Math.min(...images.map(one => one.getBoundingClientRect().width)),
    asks: performance.getEntriesByType("resource").map(one => one.name)
      .filter(name => !name.startsWith("data:")),
  };
  parent.postMessage(JSON.stringify(found), "*");
});
</script></body>"""
# No window is as narrow as a telephone, a frame is. What the page tells is left for --dump-dom.
FRAME = """<!doctype html><html><head><link rel="icon" href="data:,"></head><body><script>
addEventListener("message", told => { document.body.dataset.found = encodeURIComponent(told.data); });
</script><iframe src="PAGE" style="width: WIDTHpx; height: 900px; border: 0"></iframe></body></html>
"""


@pytest.fixture(scope="module")
def browser() -> str:
    for name in BROWSERS:
        found = shutil.which(name)
        if found is not None:
            return found
    pytest.skip(f"no browser here: none of {', '.join(BROWSERS)} (apt-get install chromium)")


@pytest.fixture(scope="module")
def report(good: Path, bad: Path, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    period = "2016-12-28/2016-12-31"
    plan = make_plan(
        [str(good), str(bad)], source=str(source), var="t2m", limit=10, climatology=period
    )
    Results(plan, evaluate(plan)).report(path)
    return path


def opened(browser: str, page: Path, width: int) -> tuple[dict[str, Any], list[str]]:
    """What the probe found in a page, and the errors on its console."""
    probed, frame = page.with_name("probed.html"), page.with_name("frame.html")
    probed.write_text(page.read_text("utf-8").replace("</body>", PROBE), "utf-8")
    frame.write_text(FRAME.replace("PAGE", probed.name).replace("WIDTH", str(width)), "utf-8")
    done = subprocess.run(
        [
            browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--no-first-run", f"--user-data-dir={page.parent / 'profile'}",
            "--window-size=1400,1000", "--virtual-time-budget=10000",
            "--enable-logging=stderr", "--dump-dom", frame.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    match = re.search(r'data-found="([^"]*)"', done.stdout)
    assert match is not None, done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(unquote(match[1])), console


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_report(browser: str, report: Path, width: int) -> None:
    found, console = opened(browser, report, width)
    assert console == []
    assert found["width"] == width
    assert found["pictures"] == 17
    assert found["broken"] == []
    assert found["without_text"] == 0
    assert found["overflow"] <= 0
    assert found["asks"] == [], "one page holds all of it"
    # Three maps side by side on a desk; each as wide as the page on a telephone.
    assert found["smallest"] > 300


def test_what_is_wrong_would_be_seen(browser: str, tmp_path: Path) -> None:
    page = tmp_path / "wrong.html"
    page.write_text(
        '<html><head><meta name="viewport" content="width=device-width"></head><body>'
        '<img src="missing.png" alt="a picture that is not there">'
        '<div style="width: 2000px">wide</div><script>nothing.there()</script></body></html>'
    )
    found, console = opened(browser, page, PHONE)
    assert found["broken"] == ["a picture that is not there"]
    assert found["overflow"] > 1000
    assert any("nothing is not defined" in line for line in console)
