"""Beside batches: where tensors are computed."""

from __future__ import annotations

import torch

from weathersvq.errors import InputError


def choose_device(device: str) -> torch.device:
    """`auto` takes a GPU where there is one.

    Raises:
        InputError: a device that is unknown or not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device not in ("cpu", "cuda"):
        raise InputError(f"unknown device {device!r}; expected auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("no CUDA device is there; use --device cpu")
    return torch.device(device)
