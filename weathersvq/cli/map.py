"""The verb `map`: pictures of a stored forecast."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from weathersvq.cli.common import make_console


def map(
    forecast: Annotated[Path, typer.Argument(help="A forecast, FILE.nc or STORE.zarr.")],
    kind: Annotated[
        str, typer.Option(help="forecast, error, strip, wind, animation or rmse.")
    ] = "forecast",
    var: Annotated[
        str | None,
        typer.Option(help="Variable, such as t2m or t@850 (of wind uv10 or u@850,v@850)."),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(help="Initial time (UTC); the first if not given; rmse is over all."),
    ] = None,
    lead: Annotated[
        str | None,
        typer.Option(help="Lead, such as 12h, where a strip or animation ends; else the last."),
    ] = None,
    style: Annotated[
        str | None, typer.Option(help="Of wind: arrows (if not given) or streamlines.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="FILE.png, .pdf or .svg; of an animation .gif, or .mp4 where ffmpeg is. Replaced "
            "if it is there; a name beside the forecast if not given."
        ),
    ] = None,
) -> None:
    """Draw maps of a stored forecast: fields, errors, wind, the course through the leads."""
    from weathersvq.cli.pictures import plan_picture, write_picture

    picture = plan_picture(forecast, kind, var=var, init=init, lead=lead, style=style, out=out)
    path = write_picture(picture)
    make_console().print(f"wrote {path}", highlight=False, soft_wrap=True)
