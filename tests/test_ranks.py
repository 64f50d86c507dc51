"""Training in several processes gives what one process gives."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from weathersvq.batches import Batches
from weathersvq.checkpoint import load_checkpoint
from weathersvq.config import Experiment
from weathersvq.data.windows import Offsets
from weathersvq.errors import InputError
from weathersvq.ranks import Ranks, find_ranks

ROOT = Path(__file__).parents[1]


def test_ranks_are_read_from_whoever_started_the_processes() -> None:
    assert find_ranks(1, 1, {"RANK": "3", "WORLD_SIZE": "8"}) == Ranks(0, 1)
    assert find_ranks(4, 2, {"RANK": "3", "WORLD_SIZE": "8"}) == Ranks(3, 8)
    assert find_ranks(4, 2, {"SLURM_PROCID": "7", "SLURM_NTASKS": "8"}) == Ranks(7, 8)
    # Second machine, third process of four: 1 * 4 + 2.
    assert find_ranks(4, 2, {"NODE_RANK": "1", "LOCAL_RANK": "2"}) == Ranks(6, 8)
    assert find_ranks(2, 1, {}).leads
    with pytest.raises(InputError, match="WORLD_SIZE is 3, but --devices 2 and --nodes 1"):
        find_ranks(2, 1, {"RANK": "0", "WORLD_SIZE": "3"})


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shares_make_up_every_batch(count: int) -> None:
    """Weighted by their shares, the means of all processes average to the mean of the batch."""
    values = torch.arange(40.0)[:, None, None, None] ** 2
    origins = np.arange(1, 14)
    whole = Batches(lambda at: values[torch.from_numpy(at)], origins, Offsets((0,), (1,)), 4, 7)
    parts = [list(whole.shared(Ranks(rank, count))) for rank in range(count)]
    for number, batch in enumerate(whole):
        assert batch.share == 1
        own = [part[number] for part in parts]
        mean = sum(each.share * each.inputs.mean() for each in own) / count
        assert float(mean) == pytest.approx(float(batch.inputs.mean()))
        # Four windows for five processes, one of the last batch for all: some only keep step.
        assert sum(len(each.inputs) for each in own if each.share) == len(batch.inputs)
    assert {len(part) for part in parts} == {len(whole)}


def course(folder: Path) -> dict[str, list[float]]:
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    return {
        name: [float(row[name]) for row in rows]
        for name in rows[0]
        if name.startswith(("train_loss", "validation"))
    }


def command(config: Path, out: Path, *options: str) -> list[str]:
    return [
        "-m",
        "weathersvq.cli",
        "train",
        str(config),
        "--device",
        "cpu",
        "--out",
        str(out),
        *options,
    ]


@pytest.fixture
def config(make_experiment: Callable[..., Experiment], tmp_path: Path) -> Path:
    # Batches of 7, so that two processes get 4 and 3; nothing that is drawn by chance; a learning
    # rate at which Adam, which divides by the size of gradients, does not blow up their last bits.
    experiment = make_experiment(
        model={"translator": {"kind": "gsta", "mlp_ratio": 2, "drop_path": 0}},
        train={"batch_size": 7, "epochs": 3, "threads": 1, "lr": 1e-3},
    )
    path = tmp_path / "config.yaml"
    path.write_text(experiment.to_yaml())
    return path


@pytest.mark.timeout(280)
def test_two_processes_learn_as_one(config: Path, tmp_path: Path) -> None:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    for name, start in {
        "one": command(config, tmp_path / "one"),
        "by lightning": command(config, tmp_path / "by lightning", "--devices", "2"),
        "by torchrun": torchrun + command(config, tmp_path / "by torchrun", "--devices", "2"),
    }.items():
        done = subprocess.run(
            [sys.executable, *start], cwd=ROOT, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        # What came of it is said once, by the first process.
        assert done.stdout.count("wrote ") == 1, name
        expected, found = course(tmp_path / "one"), course(tmp_path / name)
        for column, values in expected.items():
            assert found[column] == pytest.approx(values, rel=1e-5), (name, column)
        one, two = (
            load_checkpoint(tmp_path / each / "model.safetensors").weights for each in ("one", name)
        )
        for key, weights in one.items():
            assert torch.allclose(weights, two[key], rtol=1e-3, atol=1e-4), (name, key)
