"""Beside the flow: figures and animations show themselves in a notebook.

Ours are made without pyplot, which is what tells a notebook how to show them otherwise.
"""

from __future__ import annotations

import base64
import io
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.figure import Figure


def show_figures() -> None:
    """Tell the IPython that runs, if one does, how to show figures and animations.

    By IPython's own mechanism, and by the types' names: matplotlib is not imported for it.
    """
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None:
        return
    formatters = shell.display_formatter.formatters
    formatters["image/png"].for_type_by_name("matplotlib.figure", "Figure", figure_png)
    formatters["text/html"].for_type_by_name(
        "matplotlib.animation", "FuncAnimation", animation_html
    )


def figure_png(figure: Figure) -> bytes:
    """A figure as PNG, at its own resolution."""
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def animation_html(animation: FuncAnimation) -> str:
    """An animation as a GIF inside a page."""
    from weathersvq.maps import save_animation

    with tempfile.TemporaryDirectory() as folder:
        content = save_animation(animation, Path(folder) / "animation.gif").read_bytes()
    return f'<img alt="animation" src="data:image/gif;base64,{base64.b64encode(content).decode()}">'
