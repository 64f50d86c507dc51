"""Beside batches: where tensors are computed."""

from __future__ import annotations

import os
import shutil

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


def check_compiler(device: torch.device, option: str) -> None:
    """Whether torch can compile here; it says so only in the midst of the first batch.

    Args:
        device: where the model is to run.
        option: that asked for it, as its user writes it.

    Raises:
        InputError: no compiler of C++ for a CPU, or none of kernels for a GPU.
    """
    if device.type == "cpu":
        names = [os.environ["CXX"]] if "CXX" in os.environ else ["g++", "clang++"]
        if not any(shutil.which(name) for name in names):
            raise InputError(
                f"{option} needs a C++ compiler and found no {' or '.join(names)}; install g++, "
                f"name one in the environment variable CXX, or leave {option} away"
            )
        return
    from torch.utils._triton import has_triton

    if not has_triton():
        raise InputError(
            f"{option} needs triton for a GPU, which is not installed or does not support it; "
            f"pip install triton, or leave {option} away"
        )


def choose_matrix_products(device: torch.device, reduced: bool) -> None:
    """How a GPU multiplies float32 matrices from now on: in TF32 (ten bits of fraction) or whole.

    Elsewhere products are always whole.
    """
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high" if reduced else "highest")
        torch.backends.cudnn.allow_tf32 = reduced
