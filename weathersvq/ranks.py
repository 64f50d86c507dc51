"""Which of several training processes this is: they may be started by us, by torchrun or by SLURM."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from weathersvq.errors import InputError


@dataclass(frozen=True)
class Ranks:
    """One process among those that train together.

    Attributes:
        rank: its number, from 0; the first one writes and speaks for all.
        count: of all processes.
    """

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0


def find_ranks(devices: int, nodes: int, environment: Mapping[str, str] = os.environ) -> Ranks:
    """Read the place of this process from its environment.

    torchrun sets RANK and WORLD_SIZE, SLURM (srun) SLURM_PROCID and SLURM_NTASKS. Otherwise
    lightning starts the further processes of a machine itself and tells them LOCAL_RANK, and
    NODE_RANK names the machine.

    Args:
        devices: processes a machine.
        nodes: machines.
        environment: variables.

    Raises:
        InputError: as many processes were started as were not asked for.
    """
    count = devices * nodes
    if count == 1:
        return Ranks()
    for rank, started in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")):
        if rank in environment and started in environment:
            if int(environment[started]) != count:
                raise InputError(
                    f"{started} is {environment[started]}, but --devices {devices} and --nodes "
                    f"{nodes} make {count} processes; start as many or change the options"
                )
            return Ranks(int(environment[rank]), count)
    node, local = (int(environment.get(name, 0)) for name in ("NODE_RANK", "LOCAL_RANK"))
    return Ranks(node * devices + local, count)
