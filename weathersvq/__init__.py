"""weathersvq: short-range forecasts on gridded climate data with SimVP and SVQ."""

__version__ = "0.1.0"
