"""Links from pages to files of the repository, which work on GitHub and in the site alike.

A page says `../weathersvq/forecasting/job.py`. In the site, such a link leads to a page of its own that
shows the file (a folder: what it holds), so that the site is complete without a network.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from docutils import nodes
from pygments.lexers import get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).parents[2]
FOLDER = "files"

# What a folder's page does not list.
NOT_SHOWN = {"__pycache__", ".zattrs", ".zgroup", ".zarray", ".zmetadata"}


class RepositoryLinks(SphinxTransform):
    """Turns links to files outside docs/ into links to the pages that show them."""

    # Before links are resolved and before files to be downloaded are collected.
    default_priority = 1

    def apply(self, **_: Any) -> None:
        here = Path(self.env.doc2path(self.env.docname)).parent
        for kind in (addnodes.download_reference, addnodes.pending_xref):
            for node in list(self.document.findall(kind)):
                found = _target(node, here)
                if found is not None:
                    node.replace_self(self._link(node, found))

    def _link(self, node: nodes.Element, found: Path) -> nodes.Element:
        page = page_of(found)
        shown_files(self.env).add(found)
        builder = self.app.builder
        uri = builder.get_relative_uri(self.env.docname, page)
        return nodes.reference("", "", *node.children, internal=True, refuri=uri)


def _target(node: nodes.Element, here: Path) -> Path | None:
    """The file or folder outside docs/ that a link means, if it means one."""
    target = unquote(str(node.get("reftarget", "")).partition("#")[0])
    if node.get("reftype") != "myst" or not target:
        return None
    base = ROOT / "docs" if node.get("refdomain") == "doc" else here
    path = base / target
    # A link to another Markdown file comes without its suffix.
    if node.get("refdomain") == "doc":
        path = path.with_name(f"{path.name}.md")
    path = path.resolve()
    outside = path.is_relative_to(ROOT) and not path.is_relative_to(ROOT / "docs")
    return path if outside and path.exists() else None


def page_of(path: Path) -> str:
    """`weathersvq/forecasting/job.py` -> `files/weathersvq/forecasting/job.py`."""
    return f"{FOLDER}/{path.relative_to(ROOT).as_posix()}"


def shown_files(env: Any) -> set[Path]:
    """What pages link to, kept with Sphinx's environment."""
    if not hasattr(env, "weathersvq_files"):
        env.weathersvq_files = set()
    files: set[Path] = env.weathersvq_files
    return files


def file_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """A page for each file that is linked, and for each text file in a folder that is."""
    linked = sorted(shown_files(app.env))
    inside = [each for path in linked if path.is_dir() for each in _held(path)]
    for path in dict.fromkeys([*linked, *inside]):
        name = path.relative_to(ROOT).as_posix()
        body = _folder_body(app, path) if path.is_dir() else _file_body(app, path)
        title = f"<h1><code>{escape(name)}</code></h1>"
        yield page_of(path), {"title": name, "body": title + body}, "page.html"


def _held(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not NOT_SHOWN & set(path.parts) and not path.name.startswith(".")
    )


def _folder_body(app: Sphinx, folder: Path) -> str:
    items = []
    for path in _held(folder):
        uri = app.builder.get_relative_uri(page_of(folder), page_of(path))
        name = path.relative_to(folder).as_posix()
        items.append(f'<li><a href="{escape(uri)}"><code>{escape(name)}</code></a></li>')
    return f"<ul>{''.join(items)}</ul>"


def _file_body(app: Sphinx, path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return f"<p>{path.stat().st_size:,} bytes, not text.</p>"
    try:
        lexer = get_lexer_for_filename(path.name).aliases[0]
    except ClassNotFound:
        lexer = "text"
    builder: Any = app.builder
    return str(builder.highlighter.highlight_block(text, lexer, linenos="inline"))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_transform(RepositoryLinks)
    app.connect("html-collect-pages", file_pages)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
