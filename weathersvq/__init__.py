"""weathersvq: short-range forecasts on gridded climate data with SimVP and SVQ."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weathersvq.api.data import open_source, prepare, prepare_frames
    from weathersvq.api.forecasts import forecast, open_forecast
    from weathersvq.api.models import load_model, train
    from weathersvq.api.verification import evaluate
    from weathersvq.errors import InputError

# GRIB's libraries (eckitlib, which xarray loads whenever it guesses what a file is) bring another
# PROJ. Loaded before pyproj, it takes the place of pyproj's own, and drawing a map ends the process.
if find_spec("eckitlib"):
    import pyproj  # noqa: F401

__version__ = "0.1.0"

# What people use, and where it is. Imported when it is first asked for: torch alone takes seconds.
_PLACES = {
    "InputError": "weathersvq.errors",
    "evaluate": "weathersvq.api.verification",
    "forecast": "weathersvq.api.forecasts",
    "load_model": "weathersvq.api.models",
    "open_forecast": "weathersvq.api.forecasts",
    "open_source": "weathersvq.api.data",
    "prepare": "weathersvq.api.data",
    "prepare_frames": "weathersvq.api.data",
    "train": "weathersvq.api.models",
}
__all__ = [
    "InputError",
    "evaluate",
    "forecast",
    "load_model",
    "open_forecast",
    "open_source",
    "prepare",
    "prepare_frames",
    "train",
]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
