"""The house stays a house: imports run downwards, torch and xarray meet in three places only."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import weathersvq

PACKAGE = Path(weathersvq.__file__).parent

# From the bottom: a module imports from its own floor or from those below.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "schema", "atomic", "bundled", "ranks"),
    ("variables", "grid", "models"),
    ("data", "output", "metrics", "maps", "pages", "config", "codes"),
    ("batches", "checkpoint", "device", "series"),
    ("training", "forecasting"),
    ("verification", "reproduce"),
    ("api",),
    ("cli",),
)
BOTH_MEET = {"batches", "training", "forecasting", "checkpoint"}


def room(module: str) -> str:
    """`weathersvq.data.windows` -> `data`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(path: Path) -> set[str]:
    """Full names of all modules that a file imports anywhere, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


FILES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def name_of(path: Path) -> str:
    return ".".join(("weathersvq", *path.relative_to(PACKAGE).with_suffix("").parts))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_run_downwards(path: Path) -> None:
    floor_of = {name: number for number, floor in enumerate(FLOORS) for name in floor}
    own = room(name_of(path))
    for module in imports(path):
        if module.startswith("weathersvq.") and room(module) != own:
            # config looks into the model tables for the model section; models lie below it.
            assert floor_of[room(module)] <= floor_of[own], f"{own} imports {module}"


def test_no_circles_on_a_floor() -> None:
    graph: dict[str, set[str]] = {}
    for path in FILES:
        own = room(name_of(path))
        graph.setdefault(own, set()).update(
            room(m) for m in imports(path) if m.startswith("weathersvq.") and room(m) != own
        )

    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for following in graph.get(todo.pop(), set()) - seen:
                seen.add(following)
                todo.append(following)
        return seen

    assert [name for name in graph if name in reach(name)] == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_torch_and_xarray_meet_in_few_places(path: Path) -> None:
    own = room(name_of(path))
    tops = {module.split(".")[0] for module in imports(path)}
    if own == "data":
        assert not tops & {"torch", "lightning"}
    if own == "models":
        assert not tops & {"xarray", "pandas", "dask"}
    if {"torch", "xarray"} <= tops:
        assert own in BOTH_MEET


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        (
            "import weathersvq as ws; dir(ws)",
            {"torch", "xarray", "matplotlib", "numpy", "pydantic"},
        ),
        ("import weathersvq.cli", {"torch", "xarray", "matplotlib", "numpy", "pydantic"}),
        (
            "from weathersvq.config import DataConfig; DataConfig(source='sample', "
            "channels=['t2m'], inputs=2, targets=2, train='2010', validation='2011', test='2012')",
            {"torch", "matplotlib"},
        ),
        ("import weathersvq.data.sources", {"torch", "matplotlib"}),
        ("import weathersvq.codes.pictures", {"torch", "cartopy", "matplotlib.pyplot"}),
        ("import weathersvq.maps", {"torch", "dask", "matplotlib.pyplot"}),
        ("import weathersvq.cli.pictures", {"torch", "matplotlib.pyplot"}),
    ],
    ids=["package", "help", "data section", "sources", "code pictures", "maps", "the verb map"],
)
def test_heavy_imports_wait_until_they_are_needed(statement: str, forbidden: set[str]) -> None:
    code = f"import sys; {statement}; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:weathersvq", "-c", code],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not forbidden & set(result.stdout.split())


def test_maps_can_be_drawn_after_grib_was_read() -> None:
    pytest.importorskip("eccodes")
    code = "import weathersvq, eccodes, cartopy.crs; cartopy.crs.LambertConformal()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
