"""How the bundled coastline was made: Natural Earth's land outline, from TopoJSON to a shapefile.

    npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
    python pipelines/make_coastline.py package/land-110m.json

`--folder` names another root. With land-50m.json and cartopy's own data folder
(`python -c "import cartopy; print(cartopy.config['data_dir'])"`) regional maps get the finer line,
again without a download:

    python pipelines/make_coastline.py package/land-50m.json --folder ~/.local/share/cartopy
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import shapefile
from numpy.typing import NDArray

Line = NDArray[np.float64]

BUNDLED = Path(__file__).parents[1] / "weathersvq" / "bundled" / "natural_earth"
# Where cartopy looks below any of its data folders.
PHYSICAL = Path("shapefiles") / "natural_earth" / "physical"

# Land polygons are closed along the edges of a flat map, which is no coast: along the antimeridian
# and, below the southernmost real coast (Ross ice shelf, 85.6 S), along the pole.
SOUTHERNMOST_COAST = -85.5
# TopoJSON rounds to 0.0036 degrees of longitude.
ANTIMERIDIAN_TOLERANCE = 1e-6

# Plain longitude and latitude; readers other than cartopy ask for it.
WGS84 = (
    'GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],'
    'PRIMEM["Greenwich",0.0],UNIT["Degree",0.017453292519943295]]'
)


def decode_arcs(topology: dict[str, Any]) -> list[Line]:
    """The arcs of a quantized TopoJSON topology as (n, 2) longitudes and latitudes, degrees.

    Each arc starts with a position on an integer grid and goes on with differences to it
    (TopoJSON specification, 2.1.2 and 2.1.3).
    """
    scale, translate = topology["transform"]["scale"], topology["transform"]["translate"]
    return [
        np.cumsum(np.asarray(arc, dtype=np.float64), axis=0) * scale + translate
        for arc in topology["arcs"]
    ]


def coast_segments(line: Line) -> list[Line]:
    """The parts of a land outline, (n, 2) degrees, that are coast and can be drawn.

    No part has a segment along the antimeridian, along the pole, or across the map: a segment
    that ends on the antimeridian is ended on its own side of it (180 rather than -180).
    """
    parts: list[list[Line]] = []
    open_part = False
    for start, end in itertools.pairwise(line):
        on_edge = [abs(abs(point[0]) - 180) < ANTIMERIDIAN_TOLERANCE for point in (start, end)]
        jumps = abs(end[0] - start[0]) > 180
        along_edge = all(on_edge) or max(start[1], end[1]) < SOUTHERNMOST_COAST
        if along_edge or (jumps and not any(on_edge)):
            open_part = False
            continue
        if jumps and on_edge[0]:
            start, open_part = np.array([-start[0], start[1]]), False
        if jumps and on_edge[1]:
            end = np.array([-end[0], end[1]])
        if not open_part:
            parts.append([start])
        parts[-1].append(end)
        open_part = not (jumps and on_edge[1])
    return [np.array(part) for part in parts]


def write_coastline(lines: list[Line], path: Path) -> None:
    """Write polylines as an ESRI shapefile (`path` without suffix): shp, shx, dbf, prj, cpg."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with shapefile.Writer(str(path), shapeType=shapefile.POLYLINE) as writer:
        writer.field("featurecla", "C", size=16)
        for line in lines:
            writer.line([line.tolist()])
            writer.record("Coastline")
    path.with_suffix(".prj").write_text(WGS84)
    path.with_suffix(".cpg").write_text("UTF-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Turn land TopoJSON into a coastline.")
    parser.add_argument("topojson", type=Path, help="land-110m.json or land-50m.json")
    parser.add_argument("--folder", type=Path, default=BUNDLED, help="root of cartopy data")
    arguments = parser.parse_args()
    resolution = arguments.topojson.stem.rpartition("-")[2]
    if resolution not in ("110m", "50m", "10m"):
        parser.error(f"{arguments.topojson.name} is not named land-110m.json, -50m or -10m")
    arcs = decode_arcs(json.loads(arguments.topojson.read_text()))
    lines = [part for arc in arcs for part in coast_segments(arc)]
    target = arguments.folder.expanduser() / PHYSICAL / f"ne_{resolution}_coastline"
    write_coastline(lines, target)
    print(f"{len(lines)} lines, {sum(map(len, lines))} points: {target}.shp")


if __name__ == "__main__":
    main()
