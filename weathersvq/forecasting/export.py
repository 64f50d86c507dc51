"""Beside forecast: a model for programs that do not have this package, by torch.export or as ONNX.

What is exported is the inference form: physical units in, physical units out, for any number of
windows. The checkpoint's metadata travel along, and the file is compared with the model on the spot.
"""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from weathersvq.atomic import atomic_path
from weathersvq.batches import some_inputs
from weathersvq.checkpoint import Checkpoint
from weathersvq.errors import InputError, near_misses
from weathersvq.forecasting.inference import InferenceForm
from weathersvq.forecasting.job import check_fit, open_for

Fields = NDArray[np.float32]
Run = Callable[[Fields], Fields]

SUFFIXES = {"torch-export": ".pt2", "onnx": ".onnx"}
# Under which the metadata lie, as JSON: an entry of ONNX's metadata_props, an extra file of torch's.
METADATA_PROPERTY = "weathersvq"
METADATA_FILE = "weathersvq.json"
INPUT, OUTPUT = "fields", "forecast"

# How far an exported model may be from the original, in each channel's own units (K, %, m/s) ...
CLOSE = 1e-4
# ... or how many times as far as the original's own float32 is from float64, if that is more.
ROUNDINGS = 4
RANDOM_WINDOWS, REAL_WINDOWS = 3, 3


@dataclass(frozen=True)
class Checked:
    """A comparison of the exported model with the original.

    Attributes:
        windows: what was forecast, such as `3 random windows`.
        apart: largest absolute difference of each channel, in its own units.
    """

    windows: str
    apart: tuple[float, ...]


def export_target(name: str, to: str, out: Path | None, *, overwrite: bool = False) -> Path:
    """Where an exported model goes; to be asked before the work is done.

    Args:
        name: of the checkpoint's file.
        to: `torch-export` or `onnx`.
        out: as the user named it.
        overwrite: whether what is there is replaced.

    Raises:
        InputError: an unknown form, another suffix than the form's, a file that is there, a package
            that lacks.
    """
    if to not in SUFFIXES:
        raise InputError(
            f"unknown form --to {to!r}{near_misses(to, SUFFIXES)}; expected {' or '.join(SUFFIXES)}"
        )
    suffix = SUFFIXES[to]
    path = out or Path(name).with_suffix(suffix)
    if path.suffix != suffix:
        raise InputError(f"--out {str(path)!r} is no name for {to}; expected NAME{suffix}")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already; choose another name or give --overwrite")
    lacking = [name for name in ("onnx", "onnxscript") if to == "onnx" and find_spec(name) is None]
    if lacking:
        raise InputError(
            f"export to ONNX needs {' and '.join(lacking)}, not installed here; "
            "pip install 'weathersvq[export]'"
        )
    return path


def export_model(
    checkpoint: Checkpoint,
    to: str,
    path: Path,
    *,
    real: Mapping[str, Fields] | None = None,
    overwrite: bool = False,
) -> list[Checked]:
    """Write a model for other programs and compare it with the original.

    Args:
        checkpoint: with weights.
        to: `torch-export` or `onnx`.
        path: of the file; written whole or not at all.
        real: inputs to compare on beside random ones, (n, T_in, C, H, W) in physical units, by what
            they are.
        overwrite: whether what is there is replaced.

    Returns:
        The comparisons; none where there is no onnxruntime to run an ONNX file with.

    Raises:
        InputError: as `export_target`; a model that torch cannot export for any number of windows;
            one that gives other forecasts once it is exported.
    """
    path = export_target(checkpoint.name, to, path, overwrite=overwrite)
    form = InferenceForm(checkpoint.build(), checkpoint.normalization)
    inputs = {f"{RANDOM_WINDOWS} random windows": _random(checkpoint), **(real or {})}
    metadata = json.dumps(checkpoint.metadata() | {"interface": interface(checkpoint)})
    program = _trace(checkpoint.name, form)
    with atomic_path(path) as fresh:
        run = (_write_torch if to == "torch-export" else _write_onnx)(program, fresh, metadata)
        if run is None:
            return []
        names = checkpoint.normalization.channels
        return [_compare(form, run, names, what, fields) for what, fields in inputs.items()]


def real_inputs(checkpoint: Checkpoint, source: str | None = None) -> dict[str, Fields]:
    """A few windows of weather to compare on, by what they are; see `export_model`.

    Args:
        checkpoint: the model that they are for.
        source: where they come from; if None, the bundled sample where it fits, or none at all.

    Raises:
        InputError: a source that is named and does not fit.
    """
    data = checkpoint.experiment.data
    if data.kind == "frames":
        return {}
    try:
        dataset = open_for(checkpoint, source or "sample")
        check_fit(checkpoint, dataset)
    except InputError:
        if source is None:
            return {}
        raise
    fields = some_inputs(dataset, checkpoint.normalization, data.offsets, REAL_WINDOWS)
    return {f"{len(fields)} windows of {source or 'sample'}": fields}


def interface(checkpoint: Checkpoint) -> dict[str, Any]:
    """What goes into an exported model and what comes out, for whoever has nothing but the file."""
    dims = ["window", "time", "channel", "latitude", "longitude"]
    data, shape = checkpoint.experiment.data, checkpoint.shape
    size = [shape.height, shape.width]
    return {
        "input": {
            "name": INPUT,
            "dims": dims,
            "shape": ["any", shape.in_steps, shape.channels_in, *size],
            "steps": list(data.inputs),
        },
        "output": {
            "name": OUTPUT,
            "dims": dims,
            "shape": ["any", shape.out_steps, shape.channels_out, *size],
            "steps": list(data.targets),
        },
        "step": data.step,
        "channels": list(checkpoint.normalization.channels),
        "dtype": "float32",
        "units": checkpoint.units,
        "rows": "from south to north",
    }


def _random(checkpoint: Checkpoint) -> Fields:
    """(RANDOM_WINDOWS, T_in, C, H, W) of the climate's mean and spread, without any structure."""
    mean, std = checkpoint.normalization.scale()
    noise = np.random.default_rng(0).normal(size=(RANDOM_WINDOWS, *checkpoint.shape.inputs))
    return (mean + std * noise).astype(np.float32)


def _trace(name: str, form: InferenceForm) -> torch.export.ExportedProgram:
    """The form as a graph for any number of windows."""
    # Of a batch of one torch would take the size as given.
    example = torch.zeros(2, *form.network.shape.inputs) + form.mean
    windows = torch.export.Dim("window", min=1)
    try:
        with torch.no_grad():
            return torch.export.export(form, (example,), dynamic_shapes=({0: windows},))
    except (RuntimeError, ValueError) as error:
        raise _not_exportable(name, error) from error


def _not_exportable(name: str, error: Exception) -> InputError:
    reason = str(error).strip().splitlines()[0]
    return InputError(
        f"torch cannot export the model {name} for any number of windows ({reason}); "
        "models with svq, without a quantizer, and the recurrent ones can be exported"
    )


def _write_torch(program: torch.export.ExportedProgram, path: Path, metadata: str) -> Run:
    torch.export.save(program, path, extra_files={METADATA_FILE: metadata})
    module = torch.export.load(path).module()

    def run(fields: Fields) -> Fields:
        with torch.no_grad():
            return module(torch.from_numpy(fields)).numpy()

    return run


def _write_onnx(program: torch.export.ExportedProgram, path: Path, metadata: str) -> Run | None:
    try:
        with _quiet_exporter():
            written = torch.onnx.export(
                program, dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False
            )
    except RuntimeError as error:
        raise _not_exportable(path.name, error) from error
    assert written is not None
    written.model.metadata_props[METADATA_PROPERTY] = metadata
    written.save(str(path), external_data=False)
    if find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda fields: session.run([OUTPUT], {INPUT: fields})[0]


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Without what the exporter says of itself: that torchvision lacks, and of its own old calls."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`isinstance\(treespec", FutureWarning)
            yield
    finally:
        logger.setLevel(level)


def _compare(
    form: InferenceForm, run: Run, names: Sequence[str], windows: str, fields: Fields
) -> Checked:
    """Forecasts of all windows together and of one alone beside the original's."""
    axes = (0, 1, 3, 4)
    original = form.predict(fields)
    exported = np.concatenate([run(fields), run(fields[:1])])
    apart = np.abs(exported - np.concatenate([original, original[:1]])).max(axis=axes)
    if (apart > CLOSE).any():
        precise = copy.deepcopy(form).double()
        with torch.no_grad():
            exact = precise(torch.from_numpy(fields).double()).numpy()
        limits = np.maximum(CLOSE, ROUNDINGS * np.abs(original - exact).max(axis=axes))
        if (apart > limits).any():
            worst = int((apart - limits).argmax())
            raise InputError(
                f"on {windows} the exported model is {apart[worst]:.2g} away from the original in "
                f"{names[worst]}, more than {limits[worst]:.2g}; nothing was written"
            )
    return Checked(windows, tuple(apart.tolist()))
