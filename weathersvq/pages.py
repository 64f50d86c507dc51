"""Under every report: Markdown and figures as files, or as one HTML page that needs no network."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

from weathersvq.atomic import atomic_path

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
       color: #1b1b1b; background: #fff; overflow-wrap: break-word; }
h1, h2, h3 { line-height: 1.2; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd; padding-bottom: 0.25rem; }
div.table { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: 0.85rem; }
th, td { padding: 0.25rem 0.6rem; border-bottom: 1px solid #ddd; text-align: left;
         white-space: nowrap; }
td.wide { white-space: normal; min-width: 14rem; }
img { max-width: 100%; height: auto; }
div.row { display: flex; flex-wrap: wrap; gap: 0.75rem; margin: 1rem 0; }
div.row img { flex: 0 1 auto; min-width: 0; width: calc(50% - 0.4rem); object-fit: contain; }
div.row.three img { width: calc(33.3% - 0.5rem); }
@media (max-width: 640px) { div.row img, div.row.three img { width: 100%; } }
"""
# Cells with more letters than this may be broken into lines.
WIDE_CELL = 60


@dataclass
class Page:
    """A report while it grows.

    Attributes:
        title: of the page.
        lines: of Markdown; a picture's line names its file. Several pictures in one paragraph stand
            side by side where there is room.
        pictures: file name: figure.
        palette: colours of each picture; None: all. Flat maps and lines need few, and take a quarter
            of the bytes.
    """

    title: str
    lines: list[str] = field(default_factory=list)
    pictures: dict[str, Figure] = field(default_factory=dict)
    palette: int | None = None

    def markdown(self) -> str:
        return "\n".join(self.lines).rstrip() + "\n"

    def html(self) -> str:
        """One page with its pictures inside, which asks nothing of the network."""
        from markdown_it import MarkdownIt

        body = MarkdownIt("commonmark", {"html": False}).enable("table").render(self.markdown())
        body = body.replace("<table>", '<div class="table"><table>')
        body = body.replace("</table>", "</table></div>")
        body = re.sub(rf"<td>([^<]{{{WIDE_CELL},}})</td>", r'<td class="wide">\1</td>', body)
        body = re.sub(r"<p>((?:<img [^>]*>\s*){2,})</p>", _row, body)
        for name, figure in self.pictures.items():
            data = base64.b64encode(self._png(figure)).decode()
            body = body.replace(f'src="{name}"', f'src="data:image/png;base64,{data}"')
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(self.title)}</title><style>{STYLE}</style></head>\n"
            f"<body>\n{body}</body></html>\n"
        )

    def write(self, path: Path) -> None:
        """As `.html`, or as `.md` with its pictures beside it; each file whole or not at all."""
        if path.suffix == ".html":
            with atomic_path(path) as fresh:
                fresh.write_text(self.html(), encoding="utf-8")
            return
        for name, figure in self.pictures.items():
            with atomic_path(path.with_name(name)) as fresh:
                fresh.write_bytes(self._png(figure))
        with atomic_path(path) as fresh:
            fresh.write_text(self.markdown(), encoding="utf-8")

    def _png(self, figure: Figure) -> bytes:
        buffer = BytesIO()
        # savefig alone takes the resolution that the figure was born with.
        figure.savefig(buffer, format="png", dpi=figure.get_dpi())
        if self.palette is None:
            return buffer.getvalue()
        from PIL import Image

        small = BytesIO()
        with Image.open(buffer) as picture:
            # Colours that are far apart, not those that are frequent: a colour bar is few of the dots.
            few = picture.convert("RGB").quantize(
                self.palette, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
            )
            few.save(small, format="png", optimize=True)
        return small.getvalue()


def _row(found: re.Match[str]) -> str:
    kind = "row three" if found[1].count("<img") % 3 == 0 else "row"
    return f'<div class="{kind}">{found[1]}</div>'


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table; bars inside the cells are escaped."""
    lines = [list(header), ["---"] * len(header), *(list(row) for row in rows)]
    return ["| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines]
