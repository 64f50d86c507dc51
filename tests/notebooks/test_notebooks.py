"""The notebooks as they lie in git: without output, without paths of one machine. `make test-notebooks`
executes them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
# "/home/me, 'C:\..., ~/data: what only one machine has.
ABSOLUTE = re.compile(r"""["'`](/[A-Za-z]|[A-Za-z]:[\\/]|~)""")


def cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


def text(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def test_they_are_numbered() -> None:
    numbers = [path.name[:2] for path in NOTEBOOKS]
    assert numbers == [f"{number:02d}" for number in range(1, len(NOTEBOOKS) + 1)]
    assert len(numbers) >= 6


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_are_stripped_and_run_anywhere(path: Path) -> None:
    for cell in cells(path):
        assert ABSOLUTE.search(text(cell)) is None, text(cell)
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_say_what_they_show_and_how_long_it_takes(path: Path) -> None:
    first = cells(path)[0]
    assert first["cell_type"] == "markdown"
    assert text(first).startswith("# ")
    assert re.search(r"Takes\s+(about )?(a minute|half\s+a\s+minute)", text(first))
