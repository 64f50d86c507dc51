"""The one table of every variable's names, units and limits, and the channels made of them.

The only place that knows names: short name, WeatherBench 1 folder and name in the file,
WeatherBench 2 and ARCO-ERA5 long name, CF standard_name, GRIB and CMIP names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from weathersvq.errors import InputError, near_misses


@dataclass(frozen=True)
class Variable:
    """One physical quantity.

    Attributes:
        name: short name used throughout, `t2m`.
        long_name: for people, `2 metre temperature`.
        standard_name: CF standard name; empty where CF has none.
        units: canonical units, in CF spelling.
        weatherbench1: folder (and file prefix) in WeatherBench 1; of what it does not have, the
            name in its style.
        weatherbench1_name: name inside WeatherBench 1 files.
        weatherbench2: name in WeatherBench 2 and ARCO-ERA5 stores, or one in their style.
        valid_range: lowest and highest possible value, canonical units.
        on_levels: whether archives give it on pressure levels.
        height: height above ground in metres, where it is a near-surface quantity.
        cell_methods: CF cell methods along time.
        aliases: further names met in files (GRIB, CMIP, reanalyses).
        static: a map without time.
        may_be_uniform: whether a region may rightly have one value everywhere at a time.
    """

    name: str
    long_name: str
    standard_name: str
    units: str
    weatherbench1: str
    weatherbench1_name: str
    weatherbench2: str
    valid_range: tuple[float, float]
    on_levels: bool = False
    height: float | None = None
    cell_methods: str = "time: point"
    aliases: tuple[str, ...] = ()
    static: bool = False
    may_be_uniform: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Every name by which a file may call it, the short name first."""
        own = (self.name, self.weatherbench1_name, self.weatherbench1, self.weatherbench2)
        return (*own, *self.aliases)


def _on_levels(
    name: str,
    long_name: str,
    standard_name: str,
    units: str,
    valid_range: tuple[float, float],
    aliases: tuple[str, ...] = (),
    *,
    may_be_uniform: bool = False,
) -> Variable:
    # All archives call a quantity on pressure levels by its long name with underscores.
    archive = long_name.replace(" ", "_")
    return Variable(
        name, long_name, standard_name, units, archive, name, archive, valid_range, True,
        aliases=aliases, may_be_uniform=may_be_uniform,
    )  # fmt: skip


VARIABLES: tuple[Variable, ...] = (
    Variable(
        "t2m", "2 metre temperature", "air_temperature", "K",
        "2m_temperature", "t2m", "2m_temperature", (160.0, 345.0), height=2.0,
        aliases=("2t", "tas", "t_2m"),
    ),
    Variable(
        "d2m", "2 metre dewpoint temperature", "dew_point_temperature", "K",
        "2m_dewpoint_temperature", "d2m", "2m_dewpoint_temperature", (130.0, 320.0), height=2.0,
        aliases=("2d", "tdps"),
    ),
    Variable(
        # Over ice, as some models give it, cold air can be far above saturation.
        "r2m", "2 metre relative humidity", "relative_humidity", "%",
        "2m_relative_humidity", "r2m", "2m_relative_humidity", (-1.0, 170.0), height=2.0,
        aliases=("2r", "r2", "hurs"), may_be_uniform=True,
    ),
    Variable(
        "u10", "10 metre u component of wind", "eastward_wind", "m s-1",
        "10m_u_component_of_wind", "u10", "10m_u_component_of_wind", (-120.0, 120.0), height=10.0,
        aliases=("10u", "uas"),
    ),
    Variable(
        "v10", "10 metre v component of wind", "northward_wind", "m s-1",
        "10m_v_component_of_wind", "v10", "10m_v_component_of_wind", (-120.0, 120.0), height=10.0,
        aliases=("10v", "vas"),
    ),
    Variable(
        "ws10", "10 metre wind speed", "wind_speed", "m s-1",
        "10m_wind_speed", "ws10", "10m_wind_speed", (-0.1, 150.0), height=10.0,
        aliases=("10si", "si10", "sfcWind"),
    ),
    Variable(
        "sp", "surface pressure", "surface_air_pressure", "Pa",
        "surface_pressure", "sp", "surface_pressure", (3e4, 1.15e5), aliases=("ps",),
    ),
    Variable(
        "msl", "mean sea level pressure", "air_pressure_at_mean_sea_level", "Pa",
        "mean_sea_level_pressure", "msl", "mean_sea_level_pressure", (8e4, 1.15e5),
        aliases=("psl", "prmsl", "slp"),
    ),
    Variable(
        "tcc", "total cloud cover", "cloud_area_fraction", "1",
        "total_cloud_cover", "tcc", "total_cloud_cover", (-0.01, 1.01), aliases=("clt",),
        may_be_uniform=True,
    ),
    Variable(
        "tp", "total precipitation", "lwe_thickness_of_precipitation_amount", "m",
        "total_precipitation", "tp", "total_precipitation", (-1e-4, 2.0),
        cell_methods="time: sum",
        aliases=("total_precipitation_1hr", "total_precipitation_6hr"),
        may_be_uniform=True,
    ),
    Variable(
        "tisr", "top of atmosphere incident solar radiation",
        "", "J m-2",  # CF has a name for the flux, not for its integral
        "toa_incident_solar_radiation", "tisr", "toa_incident_solar_radiation", (-1.0, 4e7),
        cell_methods="time: sum", may_be_uniform=True,
    ),
    Variable(
        "lsm", "land-sea mask", "land_area_fraction", "1",
        "land_sea_mask", "lsm", "land_sea_mask", (-0.01, 1.01), aliases=("sftlf",),
        static=True, may_be_uniform=True,
    ),
    Variable(
        "orography", "surface altitude", "surface_altitude", "m",
        # Reanalyses give the geopotential of the surface instead, in its own units.
        "orography", "orography", "orography", (-1000.0, 9000.0),
        aliases=("orog", "zs", "geopotential_at_surface"), static=True, may_be_uniform=True,
    ),
    _on_levels(
        "r", "relative humidity", "relative_humidity", "%", (-30.0, 190.0), ("hur", "rh"),
        may_be_uniform=True,
    ),
    _on_levels(
        "t", "temperature", "air_temperature", "K", (150.0, 350.0), aliases=("ta", "air")
    ),
    _on_levels("u", "u component of wind", "eastward_wind", "m s-1", (-250.0, 250.0), ("ua",)),
    _on_levels("v", "v component of wind", "northward_wind", "m s-1", (-250.0, 250.0), ("va",)),
    _on_levels("ws", "wind speed", "wind_speed", "m s-1", (-0.1, 350.0), ("wspd",)),
    _on_levels("z", "geopotential", "geopotential", "m2 s-2", (-2e4, 6e5)),
    _on_levels(
        "q", "specific humidity", "specific_humidity", "kg kg-1", (-1e-3, 0.08), aliases=("hus",)
    ),
    _on_levels(
        "pv", "potential vorticity", "ertel_potential_vorticity", "K m2 kg-1 s-1", (-1e-2, 1e-2)
    ),
    _on_levels(
        "vo", "vorticity", "atmosphere_relative_vorticity", "s-1", (-1e-2, 1e-2), ("vorticity",)
    ),
)  # fmt: skip

# CF attributes of the axes of everything that is written.
AXES: Mapping[str, Mapping[str, str]] = {
    "time": {"standard_name": "time", "long_name": "time", "axis": "T"},
    "level": {
        "standard_name": "air_pressure",
        "long_name": "pressure level",
        "units": "hPa",
        "positive": "down",
        "axis": "Z",
    },
    "latitude": {
        "standard_name": "latitude",
        "long_name": "latitude",
        "units": "degrees_north",
        "axis": "Y",
    },
    "longitude": {
        "standard_name": "longitude",
        "long_name": "longitude",
        "units": "degrees_east",
        "axis": "X",
    },
}

GROUPS: Mapping[str, tuple[str, ...]] = {"uv10": ("u10", "v10")}

# units as files spell them -> (canonical units, scale, offset): canonical = scale * value + offset
_CONVERSIONS: Mapping[str, tuple[str, float, float]] = {
    "K": ("K", 1.0, 0.0),
    "kelvin": ("K", 1.0, 0.0),
    "Kelvin": ("K", 1.0, 0.0),
    "degK": ("K", 1.0, 0.0),
    "degrees K": ("K", 1.0, 0.0),
    "C": ("K", 1.0, 273.15),
    "degC": ("K", 1.0, 273.15),
    "celsius": ("K", 1.0, 273.15),
    "Celsius": ("K", 1.0, 273.15),
    "degrees_celsius": ("K", 1.0, 273.15),
    "°C": ("K", 1.0, 273.15),
    "m s-1": ("m s-1", 1.0, 0.0),
    "m s**-1": ("m s-1", 1.0, 0.0),
    "m/s": ("m s-1", 1.0, 0.0),
    "m s^-1": ("m s-1", 1.0, 0.0),
    "knots": ("m s-1", 1852 / 3600, 0.0),
    "kt": ("m s-1", 1852 / 3600, 0.0),
    "km/h": ("m s-1", 1 / 3.6, 0.0),
    "m": ("m", 1.0, 0.0),
    "mm": ("m", 1e-3, 0.0),
    "kg m-2": ("m", 1e-3, 0.0),
    "J m-2": ("J m-2", 1.0, 0.0),
    "J m**-2": ("J m-2", 1.0, 0.0),
    "m2 s-2": ("m2 s-2", 1.0, 0.0),
    "m**2 s**-2": ("m2 s-2", 1.0, 0.0),
    "m2/s2": ("m2 s-2", 1.0, 0.0),
    "kg kg-1": ("kg kg-1", 1.0, 0.0),
    "kg kg**-1": ("kg kg-1", 1.0, 0.0),
    "kg/kg": ("kg kg-1", 1.0, 0.0),
    "g kg-1": ("kg kg-1", 1e-3, 0.0),
    "g/kg": ("kg kg-1", 1e-3, 0.0),
    "K m2 kg-1 s-1": ("K m2 kg-1 s-1", 1.0, 0.0),
    "K m**2 kg**-1 s**-1": ("K m2 kg-1 s-1", 1.0, 0.0),
    "s-1": ("s-1", 1.0, 0.0),
    "s**-1": ("s-1", 1.0, 0.0),
    "1/s": ("s-1", 1.0, 0.0),
    "Pa": ("Pa", 1.0, 0.0),
    "pascal": ("Pa", 1.0, 0.0),
    "pascals": ("Pa", 1.0, 0.0),
    "Pascals": ("Pa", 1.0, 0.0),
    "hPa": ("Pa", 100.0, 0.0),
    "mb": ("Pa", 100.0, 0.0),
    "mbar": ("Pa", 100.0, 0.0),
    "millibar": ("Pa", 100.0, 0.0),
    "millibars": ("Pa", 100.0, 0.0),
    "kPa": ("Pa", 1000.0, 0.0),
}
# Of the orography alone: elsewhere millimetres are rain, and a geopotential is no height.
STANDARD_GRAVITY = 9.80665  # m s-2, exact by definition (CGPM 1901)
_ALTITUDES: Mapping[str, tuple[float, float]] = {
    "m": (1.0, 0.0),
    "metres": (1.0, 0.0),
    "meters": (1.0, 0.0),
    "gpm": (1.0, 0.0),
    "km": (1000.0, 0.0),
    "m2 s-2": (1 / STANDARD_GRAVITY, 0.0),
    "m**2 s**-2": (1 / STANDARD_GRAVITY, 0.0),
    "m2/s2": (1 / STANDARD_GRAVITY, 0.0),
}
# Shares come as 0-1 or in percent, and each variable has its own canonical form of the two.
_FRACTION_UNITS = ("1", "", "(0 - 1)", "0-1", "fraction", "dimensionless")
_PERCENT_UNITS = ("%", "percent")

_BY_NAME = {variable.name: variable for variable in VARIABLES}
# GRIB has one name for the geopotential of a pressure level and for that of the surface.
_AT_SURFACE = {"z": "orography"}


def variable(name: str) -> Variable:
    """The variable of this short name.

    Raises:
        InputError: a name that is not in the table (those known are listed).
    """
    found = _BY_NAME.get(name)
    if found is None:
        known = [*_BY_NAME, *GROUPS]
        raise InputError(
            f"unknown variable {name!r}; known are {', '.join(known)}{near_misses(name, known)}"
        )
    return found


def identify(name: str, attributes: Mapping[str, object]) -> Variable | None:
    """The variable that a file means by `name`, or None.

    Names decide first, with GRIB's type of level where one name has two meanings. A CF
    standard_name decides only where one variable alone has it, those at a height above ground
    aside: these share theirs with what is on levels, and are found by name.
    """
    if name in _AT_SURFACE and attributes.get("GRIB_typeOfLevel") == "surface":
        return _BY_NAME[_AT_SURFACE[name]]
    for candidate in VARIABLES:
        if name in candidate.names or name.lower() in candidate.names:
            return candidate
    standard_name = attributes.get("standard_name")
    matches = [
        v
        for v in VARIABLES
        if standard_name and v.standard_name == standard_name and v.height is None
    ]
    return matches[0] if len(matches) == 1 else None


def conversion(target: Variable, units: str) -> tuple[float, float]:
    """(scale, offset) from `units` to the variable's own: canonical = scale * value + offset.

    Raises:
        InputError: units that are not known or do not belong to the variable.
    """
    units = units.strip()
    if target.name == "orography":
        if units in _ALTITUDES:
            return _ALTITUDES[units]
    elif target.units in ("%", "1"):
        if units in _FRACTION_UNITS:
            return (100.0, 0.0) if target.units == "%" else (1.0, 0.0)
        if units in _PERCENT_UNITS:
            return (1.0, 0.0) if target.units == "%" else (0.01, 0.0)
    elif units in _CONVERSIONS and _CONVERSIONS[units][0] == target.units:
        return _CONVERSIONS[units][1:]
    raise InputError(
        f"{target.name} is given in {units!r}, which can't be converted to {target.units}; "
        "correct the file's units attribute"
    )


@dataclass(frozen=True, order=True)
class Channel:
    """One map of the model's input or output: a variable, at a level (hPa) if it has any."""

    name: str
    level: int | None = None

    def __str__(self) -> str:
        return self.name if self.level is None else f"{self.name}@{self.level}"

    @property
    def variable(self) -> Variable:
        return variable(self.name)

    @classmethod
    def parse(cls, text: str) -> Channel:
        """Read `t2m` or `r@1000`.

        Raises:
            InputError: an unknown variable, a level that is not a whole number of hPa.
        """
        name, at, level = text.strip().partition("@")
        variable(name)
        if not at:
            return cls(name)
        if not level.isdecimal():
            raise InputError(
                f"level {level!r} in {text!r} is not a whole number of hPa, as in r@1000"
            )
        return cls(name, int(level))


def parse_channels(text: str | Iterable[str]) -> tuple[Channel, ...]:
    """Channels named by `t2m,uv10,r@1000` or by a list; groups such as `uv10` are spelt out.

    Raises:
        InputError: an unknown name, a name given twice, an empty list.
    """
    parts = [
        part
        for item in ([text] if isinstance(text, str) else text)
        for part in item.split(",")
        if part.strip()
    ]
    channels: list[Channel] = []
    for part in parts:
        for name in GROUPS.get(part.strip(), (part,)):
            channel = Channel.parse(name)
            if channel in channels:
                raise InputError(f"variable {channel} is named twice in {','.join(parts)!r}")
            channels.append(channel)
    if not channels:
        raise InputError("no variable named; expected a list such as t2m,u10,v10")
    return tuple(channels)
