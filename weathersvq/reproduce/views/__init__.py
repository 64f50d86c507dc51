"""What can be shown of a table's runs: one function a view, named in configs/tables/*.yaml.

A view takes what is `Shown` (a study's finished runs, or nothing where a table has none) and gives a
`Part` of the report: lines of Markdown and pictures.
"""

from __future__ import annotations

from collections.abc import Callable

from weathersvq.reproduce.tables import View
from weathersvq.reproduce.views.base import Part, Picture, Shown
from weathersvq.reproduce.views.codes import (
    covering,
    density,
    embedding,
    kurtosis,
    latents,
    weights,
)
from weathersvq.reproduce.views.costs import quantizers, settings, sizes, usage
from weathersvq.reproduce.views.curves import by_size, curves
from weathersvq.reproduce.views.errors import errors
from weathersvq.reproduce.views.frames import frames
from weathersvq.reproduce.views.pictures import error_maps, strips

VIEWS: dict[View, Callable[[Shown], Part]] = {
    "errors": errors,
    "frames": frames,
    "usage": usage,
    "kurtosis": kurtosis,
    "by_size": by_size,
    "curves": curves,
    "embedding": embedding,
    "weights": weights,
    "density": density,
    "latents": latents,
    "error_maps": error_maps,
    "strips": strips,
    "settings": settings,
    "quantizers": quantizers,
    "sizes": sizes,
    "covering": covering,
}

__all__ = ["VIEWS", "Part", "Picture", "Shown"]
