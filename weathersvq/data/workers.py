"""Who does the blocks of a long job: this process, worker processes, or a Dask cluster elsewhere."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

from weathersvq.errors import InputError, near_misses

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")
Argument = TypeVar("Argument")

SCHEDULERS = ("local", "synchronous")
# A scheduler that is there answers at once.
CONNECT_SECONDS = 10
# Tasks handed out beforehand for each worker, so that none waits and few are lost.
AHEAD = 2


@dataclass(frozen=True)
class Workers:
    """Runs one function on many arguments.

    Attributes:
        count: of workers.
        dashboard: address of the cluster's web page, if it has one.
        client: of the cluster; None where this process does the work.
    """

    count: int = 1
    dashboard: str | None = None
    client: Client | None = None

    def map(self, function: Callable[[Argument], T], arguments: Sequence[Argument]) -> Iterator[T]:
        """Results as they come, in any order.

        A task whose worker dies is given to another one.

        Raises:
            OSError: workers that keep dying, or a cluster that is lost.
            Exception: the first that the function raises; what is not yet begun is given up.
        """
        if self.client is None:
            yield from map(function, arguments)
        else:
            yield from self._map_on_cluster(self.client, function, arguments)

    def _map_on_cluster(
        self, client: Client, function: Callable[[Argument], T], arguments: Sequence[Argument]
    ) -> Iterator[T]:
        from concurrent.futures import CancelledError

        from distributed import KilledWorker, as_completed

        waiting = iter(arguments)

        def submit(argument: Argument) -> object:
            # Not pure: a block is done again where its result is already known to the cluster.
            return client.submit(function, argument, pure=False)

        first = [submit(a) for _, a in zip(range(AHEAD * self.count), waiting, strict=False)]
        running = as_completed(first)
        try:
            for future in running:
                yield future.result()
                for argument in waiting:
                    running.add(submit(argument))
                    break
        except KilledWorker as error:
            raise OSError(
                "the workers of a block died again and again, for want of memory perhaps; give "
                "fewer --workers: what is finished is kept"
            ) from error
        except CancelledError as error:
            raise OSError(
                "the connection to the Dask cluster was lost; give the same command again: what is "
                "finished is kept"
            ) from error
        finally:
            client.cancel([future for future in running.futures], force=True)


@contextmanager
def start_workers(scheduler: str, count: int | None = None) -> Iterator[Workers]:
    """The workers that `scheduler` names.

    Args:
        scheduler: `synchronous` (this process), `local` (a process a core), or the address of a
            Dask scheduler (tcp://host:port), whose workers see the same files.
        count: processes of `local`; the cores of this machine if None.

    Raises:
        InputError: an unknown scheduler, or an address where none answers.
    """
    check_scheduler(scheduler)
    if scheduler == "synchronous":
        yield Workers()
        return
    from distributed import Client, LocalCluster

    if scheduler != "local":
        with _connected(scheduler) as client:
            there = len(client.scheduler_info(n_workers=-1)["workers"])
            if not there:
                raise InputError(f"the Dask scheduler at {scheduler} has no workers; start some")
            yield Workers(there, client.dashboard_link or None, client)
        return
    count = count or os.cpu_count() or 1
    with (
        # A worker's own account of an error would be the second: it reaches us anyway.
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",  # any port that is free
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield Workers(count, cluster.dashboard_link if find_spec("bokeh") else None, client)


def check_scheduler(scheduler: str) -> None:
    """See that a scheduler's name can be one.

    Raises:
        InputError: neither a name nor an address.
    """
    if scheduler not in SCHEDULERS and "://" not in scheduler:
        raise InputError(
            f"unknown scheduler {scheduler!r}{near_misses(scheduler, SCHEDULERS)}; expected "
            f"{', '.join(SCHEDULERS)} or an address such as tcp://host:8786"
        )


def _connected(address: str) -> Client:
    from distributed import Client

    try:
        return Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(
            f"no Dask scheduler answers at {address!r} ({type(error).__name__}); start one with "
            "`dask scheduler` or give --scheduler local"
        ) from error
