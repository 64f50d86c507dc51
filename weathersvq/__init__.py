"""weathersvq: short-range forecasts on gridded climate data with SimVP and sparse vector quantization."""

__version__ = "0.1.0"
