"""Every link from a page to a file of the repository leads somewhere, on GitHub and in the site."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
# What git does not keep has other people's pages in it.
NOT_OURS = {".venv", "build", "runs", "forecasts", "node_modules"}


def pages() -> list[Path]:
    found = [p for p in ROOT.rglob("*.md") if not NOT_OURS & set(p.relative_to(ROOT).parts)]
    return sorted(p for p in found if not any(part.startswith(".") for part in p.parts[1:]))


def addresses(text: str) -> list[str]:
    """Where the links and pictures of a Markdown text lead."""
    found: list[str] = []
    tokens: list[Token] = MarkdownIt("commonmark").enable("table").parse(text)
    while tokens:
        token = tokens.pop()
        tokens += token.children or []
        address = token.attrs.get("href") or token.attrs.get("src")
        if address is not None:
            found.append(str(address))
    return found


def is_elsewhere(address: str) -> bool:
    return address.startswith(("http://", "https://", "mailto:", "#"))


def test_addresses_are_found_in_tables_pictures_and_text() -> None:
    text = "[one](a.md#part) ![two](b.png)\n\n| x |\n| --- |\n| [three](c%20d.py) |\n\n    [no](e.md)\n"
    assert sorted(addresses(text)) == ["a.md#part", "b.png", "c%20d.py"]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files(page: Path) -> None:
    broken = [
        address
        for address in addresses(page.read_text(encoding="utf-8"))
        if not is_elsewhere(address)
        and not (page.parent / unquote(address.partition("#")[0])).exists()
    ]
    assert broken == []


def test_pages_link_to_nothing_that_git_leaves_out() -> None:
    # A file that lies here but is ignored would be a dead link for everybody else.
    targets = {
        (page.parent / unquote(address.partition("#")[0])).resolve()
        for page in pages()
        for address in addresses(page.read_text(encoding="utf-8"))
        if not is_elsewhere(address)
    }
    names = sorted(str(target.relative_to(ROOT)) for target in targets)
    asked = subprocess.run(
        ["git", "check-ignore", *names], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if asked.returncode not in (0, 1):
        pytest.skip(f"no git repository here: {asked.stderr.strip()}")
    assert asked.stdout == ""
