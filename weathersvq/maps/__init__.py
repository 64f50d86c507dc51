"""The last step: maps of forecast, truth and error, with coastlines that need no network.

Figures are matplotlib's own objects, made without pyplot: nothing global, no display, no window.
Cells are drawn as they are, by their edges, so that a map shows the grid that the model works on.
"""

from weathersvq.maps.coastlines import add_coastlines, coastline_file
from weathersvq.maps.colours import Colours, colours_of, error_colours, score_colours
from weathersvq.maps.figures import draw_map, error_map, forecast_map, save_figure
from weathersvq.maps.frame import frame_of, unrolled
from weathersvq.maps.words import SIMULATED_NOTE, pretty_units, quantity_label

__all__ = [
    "SIMULATED_NOTE",
    "Colours",
    "add_coastlines",
    "coastline_file",
    "colours_of",
    "draw_map",
    "error_colours",
    "error_map",
    "forecast_map",
    "frame_of",
    "pretty_units",
    "quantity_label",
    "save_figure",
    "score_colours",
    "unrolled",
]
