"""The last step: maps of forecast, truth and error, with coastlines that need no network.

Figures are matplotlib's own objects, made without pyplot: nothing global, no display, no window.
Cells are drawn as they are, by their edges, so that a map shows the grid that the model works on.
"""

from weathersvq.maps.animation import animate, check_movie, save_animation
from weathersvq.maps.coastlines import add_coastlines, coastline_file
from weathersvq.maps.colours import Colours, colours_of, error_colours, score_colours
from weathersvq.maps.figures import (
    check_suffix,
    draw_map,
    error_map,
    forecast_map,
    picture_beside,
    save_figure,
)
from weathersvq.maps.frame import frame_of, unrolled
from weathersvq.maps.rmse import rmse_map
from weathersvq.maps.strip import lead_strip
from weathersvq.maps.wind import wind_map
from weathersvq.maps.words import SIMULATED_NOTE, pretty_units, quantity_label

__all__ = [
    "SIMULATED_NOTE",
    "Colours",
    "add_coastlines",
    "animate",
    "check_movie",
    "check_suffix",
    "coastline_file",
    "colours_of",
    "draw_map",
    "error_colours",
    "error_map",
    "forecast_map",
    "frame_of",
    "lead_strip",
    "picture_beside",
    "pretty_units",
    "quantity_label",
    "rmse_map",
    "save_animation",
    "save_figure",
    "score_colours",
    "unrolled",
    "wind_map",
]
