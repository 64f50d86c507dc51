"""Workers: in this process or on a cluster, the same results and the same errors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from distributed import LocalCluster

from weathersvq.data.workers import Workers, check_scheduler, start_workers
from weathersvq.errors import InputError


def divided(number: int) -> float:
    if number == 0:
        raise InputError("zero is no divisor; expected another number")
    return 12 / number


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as cluster:
        yield cluster


@pytest.fixture(params=["synchronous", "cluster"])
def workers(request: pytest.FixtureRequest) -> Iterator[Workers]:
    if request.param == "synchronous":
        with start_workers("synchronous") as crew:
            yield crew
    else:
        cluster = request.getfixturevalue("cluster")
        with start_workers(cluster.scheduler_address) as crew:
            assert crew.count == 2
            yield crew


def test_every_argument_is_worked_on_once(workers: Workers) -> None:
    assert sorted(workers.map(divided, range(1, 30))) == sorted(12 / n for n in range(1, 30))
    assert list(workers.map(divided, [])) == []


def test_the_first_error_comes_as_it_was_raised(workers: Workers) -> None:
    with pytest.raises(InputError, match="zero is no divisor"):
        list(workers.map(divided, [3, 2, 1, 0, *range(1, 50)]))
    # The crew is still of use.
    assert list(workers.map(divided, [3])) == [4]


def test_a_cluster_without_workers() -> None:
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as empty,
        pytest.raises(InputError, match=r"has no workers; start some"),
        start_workers(empty.scheduler_address),
    ):
        pass


@pytest.mark.parametrize("name", ["local", "synchronous", "tcp://host:8786", "tls://host:1"])
def test_names_of_schedulers(name: str) -> None:
    check_scheduler(name)


def test_wrong_names_of_schedulers() -> None:
    with pytest.raises(InputError, match="unknown scheduler 'threads'; expected local, synchron"):
        check_scheduler("threads")
