"""Between train and forecast: one `.safetensors` file that holds a model and its context.

The weights are plain arrays and the rest is JSON in the file's metadata, so that loading one never
runs code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from weathersvq import __version__
from weathersvq.atomic import atomic_path
from weathersvq.config import Experiment, WindowsConfig, experiment_from_dict
from weathersvq.data.normalize import Normalization
from weathersvq.data.windows import parse_step
from weathersvq.errors import InputError
from weathersvq.grid import Grid, PixelGrid
from weathersvq.models import build_model
from weathersvq.models.forecaster import Forecaster, Shape
from weathersvq.variables import parse_channels

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
_KEY = "weathersvq"


@dataclass(frozen=True)
class Checkpoint:
    """A trained model with everything that its use depends on.

    Attributes:
        experiment: resolved config.
        grid: of the maps it was trained on.
        normalization: statistics of the training split.
        weights: state of the model; on the meta device where only the metadata were read.
        training_data: identity of the training data: source, title, period, windows, hash.
        scores: figures of the run by name, such as the best epoch and its validation loss.
        version: of the package that wrote it.
        name: of the file, for messages.
        path: of the file; None for a model that was not read from one.
    """

    experiment: Experiment
    grid: Grid | PixelGrid
    normalization: Normalization
    weights: Mapping[str, Tensor]
    training_data: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    version: str = __version__
    name: str = ""
    path: Path | None = None

    @property
    def field_grid(self) -> Grid:
        """The grid of a model of gridded fields.

        Raises:
            InputError: a model of pictures.
        """
        if isinstance(self.grid, PixelGrid):
            raise InputError(
                f"the model {self.name} forecasts pictures of {self.grid.describe()}, not fields "
                "on a map; give it a source of frames"
            )
        return self.grid

    @property
    def step(self) -> np.timedelta64:
        """Time step of the data it was trained on."""
        return parse_step(self.experiment.data.step)

    @property
    def units(self) -> dict[str, str]:
        """Units by channel; empty where they are not known, as of pictures."""
        names = self.normalization.channels
        if isinstance(self.grid, PixelGrid):
            return dict.fromkeys(names, "")
        return {str(channel): channel.variable.units for channel in parse_channels(names)}

    @property
    def shape(self) -> Shape:
        channels = len(self.normalization.channels)
        return model_shape(self.experiment.data, self.grid, channels)

    def build(self) -> Forecaster:
        """The model with its weights, in evaluation mode, on the CPU.

        Raises:
            InputError: weights that do not fit the config.
        """
        model = build_model(self.experiment.model, self.shape)
        try:
            model.load_state_dict(dict(self.weights), strict=True)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise InputError(
                f"the weights in {self.name or 'the checkpoint'} do not fit its config: {reason}"
            ) from error
        return model.eval()

    def metadata(self) -> dict[str, Any]:
        """All but the weights, for JSON."""
        return {
            "format": FORMAT,
            "version": self.version,
            "config": self.experiment.to_dict(),
            "variables": list(self.normalization.channels),
            "grid": _grid_to_dict(self.grid),
            "step": self.experiment.data.step,
            "offsets": {
                "inputs": list(self.experiment.data.inputs),
                "targets": list(self.experiment.data.targets),
            },
            "normalization": {
                "channels": self.normalization.channels,
                "mean": self.normalization.mean,
                "std": self.normalization.std,
            },
            "training_data": dict(self.training_data),
            "scores": dict(self.scores),
        }

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.weights.items()}
        content = save(tensors, metadata={_KEY: json.dumps(self.metadata(), allow_nan=False)})
        with atomic_path(Path(path)) as temporary:
            temporary.write_bytes(content)


def model_shape(data: WindowsConfig, grid: Grid | PixelGrid, channels: int) -> Shape:
    """Sizes that windows of some channels give a model on a grid."""
    return Shape(
        in_steps=len(data.inputs),
        out_steps=len(data.targets),
        channels_in=channels,
        channels_out=channels,
        height=grid.shape[0],
        width=grid.shape[1],
        longitude_wraps=grid.wraps,
    )


def _grid_to_dict(grid: Grid | PixelGrid) -> dict[str, Any]:
    if isinstance(grid, PixelGrid):
        return {"rows": grid.rows, "columns": grid.columns}
    return {"latitude": grid.latitude.tolist(), "longitude": grid.longitude.tolist()}


def _grid_from_dict(content: Mapping[str, Any]) -> Grid | PixelGrid:
    if "rows" in content:
        return PixelGrid(content["rows"], content["columns"])
    return Grid(content["latitude"], content["longitude"])


def load_checkpoint(path: str | Path, *, weights: bool = True) -> Checkpoint:
    """Read a checkpoint.

    Args:
        path: `.safetensors` file.
        weights: whether to read the weights too; without them only the metadata are read.

    Raises:
        InputError: no such file, a truncated or foreign file, a newer format.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no checkpoint at {str(path)!r}; expected a .safetensors file")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
            if text is None:
                raise InputError(
                    f"{str(path)!r} holds tensors but no weathersvq metadata; "
                    "expected a checkpoint written by `weathersvq train`"
                )
            metadata = json.loads(text)
            tensors = {
                name: file.get_tensor(name) if weights else torch.empty(0, device="meta")
                for name in file.keys()  # noqa: SIM118 (not a mapping)
            }
    except (SafetensorError, json.JSONDecodeError) as error:
        raise InputError(
            f"{str(path)!r} is not a readable checkpoint ({error}); it may be truncated: "
            "copy it again or train again"
        ) from error
    if metadata.get("format") != FORMAT:
        raise InputError(
            f"{str(path)!r} has checkpoint format {metadata.get('format')!r}, this version reads "
            f"{FORMAT}; upgrade weathersvq"
        )
    try:
        return Checkpoint(
            experiment=experiment_from_dict(metadata["config"], origin=str(path)),
            grid=_grid_from_dict(metadata["grid"]),
            normalization=Normalization(
                *(tuple(metadata["normalization"][k]) for k in ("channels", "mean", "std"))
            ),
            weights=tensors,
            training_data=metadata["training_data"],
            scores=metadata["scores"],
            version=metadata["version"],
            name=path.name,
            path=path,
        )
    except KeyError as error:
        raise InputError(f"{str(path)!r} lacks {error} in its metadata; train again") from error
