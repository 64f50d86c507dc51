"""Part of simulate_sample.py: SPEEDY physics by jcm, and the way from its output to our fields."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import metadata, resources
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sample_store import HOURS_A_DAY, LEVEL_STEP, LEVELS, Floats

from weathersvq.data.regrid import Regridder
from weathersvq.errors import InputError
from weathersvq.grid import GLOBAL_5625, Grid

Fields = dict[str, Floats]

HALF_HOUR = np.timedelta64(30, "m")

GAS_CONSTANT = 287.05  # J kg-1 K-1, dry air
GRAVITY = 9.80665  # m s-2
LAPSE_RATE = 0.0065  # K m-1, below the ground
REFERENCE_PRESSURE = 1000.0  # hPa; jcm gives surface pressure as a multiple of it

# The near-surface air temperature of SPEEDY (extrapolated from the lowest levels) has next to no
# daily cycle; its skin temperature has too large a one. 2 m lies between the two.
SKIN_SHARE = 0.45


@dataclass(frozen=True)
class Bracket:
    """Where one pressure lies between model levels, in each column.

    Attributes:
        above: index of the model level above it, along axis 1.
        share: way from that level (0) to the next lower one (1), in ln p; beyond 1 it is deeper
            than the lowest level.
        depth: ln of its pressure over that of the level above.
        thickness: ln of the pressure of the level below over that of the level above.
    """

    above: NDArray[np.intp]
    share: Floats
    depth: Floats
    thickness: Floats

    @classmethod
    def find(cls, log_pressure: Floats, target: float) -> Bracket:
        """Bracket `target` (ln p) in `log_pressure` (time, model level from the top, ...)."""
        count = log_pressure.shape[1]
        above = np.clip((log_pressure < target).sum(axis=1) - 1, 0, count - 2)
        upper = np.take_along_axis(log_pressure, above[:, None], 1)[:, 0]
        lower = np.take_along_axis(log_pressure, above[:, None] + 1, 1)[:, 0]
        thickness = lower - upper
        depth = target - upper
        return cls(above, depth / thickness, depth, thickness)

    def ends(self, field: Floats) -> tuple[Floats, Floats]:
        """The values of `field` (time, model level, ...) at the level above and the one below."""
        upper = np.take_along_axis(field, self.above[:, None], 1)[:, 0]
        lower = np.take_along_axis(field, self.above[:, None] + 1, 1)[:, 0]
        return upper, lower

    def interpolate(self, field: Floats) -> Floats:
        """Linear in ln p; beyond the highest and the lowest level, their values."""
        upper, lower = self.ends(field)
        return upper + np.clip(self.share, 0, 1) * (lower - upper)

    def temperature(self, temperature: Floats) -> Floats:
        """Linear in ln p; below the lowest level warmer by `LAPSE_RATE`."""
        # dT/dz = -L and dz = -(R T / g) dln p give T proportional to p ** (R L / g).
        below = np.maximum(self.depth - self.thickness, 0)
        warmer = np.exp(below * GAS_CONSTANT * LAPSE_RATE / GRAVITY)
        return self.interpolate(temperature) * warmer

    def geopotential(self, geopotential: Floats, temperature: Floats) -> Floats:
        """Hydrostatic: equal to the model's at its levels, curved as the temperature says."""
        upper_z, lower_z = self.ends(geopotential)
        upper_t, lower_t = self.ends(temperature)
        share = np.clip(self.share, 0, 1)
        # z'' = -R dT/dln p: with T linear in ln p, z is a parabola above the straight line.
        arch = 0.5 * GAS_CONSTANT * (lower_t - upper_t) * self.thickness * share * (1 - share)
        inside = upper_z + share * (lower_z - upper_z) + arch
        below = np.maximum(self.depth - self.thickness, 0)
        mean_temperature = (self.temperature(temperature) + lower_t) / 2
        return inside - GAS_CONSTANT * mean_temperature * below


def jcm_version() -> str:
    try:
        return metadata.version("jcm")
    except metadata.PackageNotFoundError:
        raise InputError(
            "jcm is not installed; install the extra: pip install 'weathersvq[simulate]'"
        ) from None


@functools.cache
def install_diurnal_sun() -> None:
    """Give jcm's shortwave scheme the sun's height of the moment instead of the day's mean.

    Replaces two names inside jcm 3.0.0; once a process, before the model is traced. Declination and
    distance are SPEEDY's own (Fourier series of Spencer, 1971).
    """
    import jax.numpy as jnp
    from jcm.physics.radiation import speedy_shortwave
    from jcm.physics.speedy import physical_constants

    physical_constants.nstrad = 1  # shortwave each step of 30 min; stock does every third
    daily_mean_fields = speedy_shortwave.get_zonal_average_fields

    def instantaneous_fields(state: Any, physics: Any, forcing: Any, terrain: Any) -> Any:
        daily = daily_mean_fields(state, physics, forcing, terrain)
        sun, latitude = forcing.solar, physics.speedy_coords
        year = 2 * jnp.pi * sun.tyear
        declination = (
            0.006918
            - 0.399912 * jnp.cos(year)
            + 0.070257 * jnp.sin(year)
            - 0.006758 * jnp.cos(2 * year)
            + 0.000907 * jnp.sin(2 * year)
            - 0.002697 * jnp.cos(3 * year)
            + 0.001480 * jnp.sin(3 * year)
        )
        inverse_distance_squared = (
            1.000110
            + 0.034221 * jnp.cos(year)
            + 0.001280 * jnp.sin(year)
            + 0.000719 * jnp.cos(2 * year)
            + 0.000077 * jnp.sin(2 * year)
        )
        columns = state.temperature.shape[1]
        longitude = 2 * jnp.pi * jnp.arange(columns) / columns
        hour_angle = (sun.synodic_phase + longitude - jnp.pi)[:, None]
        cosine_zenith = latitude.sia[None] * jnp.sin(declination) + latitude.coa[None] * (
            jnp.cos(declination) * jnp.cos(hour_angle)
        )
        # solc is a quarter of the solar constant.
        insolation = (
            4 * physical_constants.solc * inverse_distance_squared * jnp.maximum(cosine_zenith, 0.0)
        )
        # Ozone absorbs a share of the sunshine, so it follows; the cooling of the polar night is
        # about the day's mean and stays.
        shortwave = daily.shortwave_rad
        ratio = jnp.where(shortwave.fsol > 1, insolation / jnp.maximum(shortwave.fsol, 1), 0.0)
        return daily.copy(
            shortwave_rad=shortwave.copy(
                fsol=insolation, ozupp=shortwave.ozupp * ratio, ozone=shortwave.ozone * ratio
            )
        )

    speedy_shortwave.get_zonal_average_fields = instantaneous_fields


@dataclass(frozen=True)
class Day:
    """One simulated day on the 32 x 64 grid, short names and canonical units.

    Attributes:
        surface: (24, 32, 64) each.
        on_levels: (4, len(LEVELS), 32, 64) each.
    """

    surface: Fields
    on_levels: Fields


class Climate:
    """jcm's model and boundary data, and the way from its raw output to our fields.

    Args:
        first_label: time of the first output, at midnight.
        spinup_days: simulated before it.
        seed: of the small pressure noise that the air at rest starts with.

    The clock runs half an hour ahead of the labels: the physics of the step that ends there was
    computed from the state at the label, with the sun of the label.
    """

    def __init__(self, first_label: np.datetime64, spinup_days: int, seed: int) -> None:
        jcm_version()
        install_diurnal_sun()
        import jax.numpy as jnp
        from jcm.forcing import ForcingData
        from jcm.model import Model
        from jcm.physics.speedy.params import Parameters
        from jcm.physics.speedy.speedy_coords import get_speedy_coords
        from jcm.physics.speedy.speedy_terms import speedy_physics
        from jcm.terrain import TerrainData

        parameters = Parameters.default()
        parameters.surface_flux.ctday = jnp.array(0.0)  # its stand-in for the daily cycle
        # Heat uptake of the soil at the time scale of a day, W m-2 K-1; stock has 7.
        parameters.surface_flux.clambda = jnp.array(10.0)
        coords = get_speedy_coords(spectral_truncation=31)
        data = resources.files("jcm.data.bc.t30.clim")
        self.first_label, self.spinup_days = first_label, spinup_days
        self.forcing = ForcingData.from_file(data / "forcing.nc", coords=coords)
        start = first_label - np.timedelta64(spinup_days, "D")
        self.model = Model(
            coords=coords,
            terrain=TerrainData.from_file(data / "terrain.nc", coords=coords),
            physics=speedy_physics(parameters),
            start_time=str(start),
        )
        longitude, sine_latitude = coords.horizontal.nodal_axes
        self.shape = (len(longitude), len(sine_latitude))
        self.sigma = np.asarray(coords.vertical.centers, dtype=np.float32)
        # Conservative: clouds and land temperatures vary from cell to cell, so point values would
        # alias, and area means are kept. It is also what our own sources do with a global grid.
        self.regridder = Regridder(
            Grid(np.rad2deg(np.arcsin(sine_latitude)), np.rad2deg(longitude)),
            GLOBAL_5625,
            method="conservative",
        )
        self.model.bootstrap_state(self.model.initial_state(random_seed=seed))

    @property
    def clock(self) -> np.datetime64:
        """The time that the simulation has reached."""
        delta = self.model.run_state.time.delta
        seconds = int(delta.days) * 86400 + int(delta.seconds)
        return np.datetime64(0, "s") + np.timedelta64(seconds, "s")

    def spin_up(self) -> None:
        """From rest to half an hour before the first label."""
        minutes = self.spinup_days * HOURS_A_DAY * 60 - 30
        self.model.resume(
            forcing=self.forcing,
            save_interval=f"{minutes} minutes",
            total_time=f"{minutes} minutes",
        )

    def day(self, number: int) -> Day:
        """Simulate day `number` (from 0) after the first label.

        A day at a time, because jcm keeps 81 variables of every output step in memory.
        """
        label = self.first_label + np.timedelta64(number, "D")
        assert self.clock == label - HALF_HOUR, (self.clock, label)
        output = self.model.resume(
            forcing=self.forcing, save_interval="1 hour", total_time="24 hours"
        )
        return Day(self._surface(output), self._on_levels(output))

    def _maps(self, raw: Any) -> Floats:
        """(time, longitude, latitude) of jcm -> (time, latitude, longitude)."""
        return np.asarray(raw, dtype=np.float32).reshape(-1, *self.shape).swapaxes(-1, -2)

    def _columns(self, raw: Any) -> Floats:
        """(time, model level from the top, longitude, latitude), every sixth hour -> maps."""
        full = np.asarray(raw, dtype=np.float32).reshape(-1, self.sigma.size, *self.shape)
        return full[::LEVEL_STEP].swapaxes(-1, -2)

    def _surface(self, output: Any) -> Fields:
        flux, shortwave = output.physics["_surface_flux"], output.physics["_shortwave_rad"]
        air, skin = self._maps(flux.t0), self._maps(flux.tskin)
        humidity = np.asarray(output.physics["_humidity"].rh, dtype=np.float32)
        humidity = humidity.reshape(-1, self.sigma.size, *self.shape)[:, -1]
        # Convective and low stratiform clouds overlap at random.
        clear = (1 - self._maps(shortwave.cloudc)) * (1 - self._maps(shortwave.cloudstr))
        fields = {
            "t2m": air + SKIN_SHARE * (skin - air),
            "u10": self._maps(flux.u0),
            "v10": self._maps(flux.v0),
            "r": np.clip(100 * humidity.swapaxes(-1, -2), 0, 100),
            "tcc": np.clip(1 - clear, 0, 1),
        }
        return {name: self.regridder(np.ascontiguousarray(f)) for name, f in fields.items()}

    def _on_levels(self, output: Any) -> Fields:
        dynamics = output.dynamics
        surface = self._maps(dynamics.normalized_surface_pressure)[::LEVEL_STEP]
        log_pressure = (
            np.log(self.sigma)[:, None, None] + np.log(surface * REFERENCE_PRESSURE)[:, None]
        )
        temperature = self._columns(dynamics.temperature)
        geopotential = self._columns(dynamics.geopotential)
        humidity = np.clip(100 * self._columns(output.physics["_humidity"].rh), 0, 100)
        plain = {
            "r": humidity,
            "u": self._columns(dynamics.u_wind),
            "v": self._columns(dynamics.v_wind),
        }
        layers: dict[str, list[Floats]] = {name: [] for name in (*plain, "t", "z")}
        for level in LEVELS:
            bracket = Bracket.find(log_pressure, float(np.log(level)))
            for name, field in plain.items():
                layers[name].append(bracket.interpolate(field))
            layers["t"].append(bracket.temperature(temperature))
            layers["z"].append(bracket.geopotential(geopotential, temperature))
        return {
            name: self.regridder(np.stack(parts, axis=1).astype(np.float32))
            for name, parts in layers.items()
        }
