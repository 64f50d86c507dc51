"""Within the first step: how patiently what is elsewhere is read, and when it is given up."""

from __future__ import annotations

import contextlib
import errno
import gzip
import http.client
import logging
import lzma
import random
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import Field

from weathersvq.data.files import one_line
from weathersvq.errors import InputError
from weathersvq.schema import Section

# Its own, so that a read that is tried again leaves the draws of others as they were.
JITTER = random.Random()

T = TypeVar("T")

_log = logging.getLogger(__name__)

# What damaged bytes raise when they are decoded: Blosc, Zstandard and LZ4 (RuntimeError), short
# arrays, checksums and text (ValueError), gzip, zlib and lzma.
DAMAGED: tuple[type[Exception], ...] = (
    RuntimeError, ValueError, EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
# Faults of this machine's disk, which waiting does not mend.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class Network(Section):
    """How patiently archives elsewhere are read."""

    probe_seconds: float = Field(10, gt=0, description="how long a host may take to answer at all")
    request_seconds: float = Field(
        60,
        gt=0,
        description="how long a request may go without a byte (http, gs) or take in all (others)",
    )
    deadline_seconds: float = Field(
        600, gt=0, description="how long one read may take with all its tries"
    )
    attempts: int | None = Field(
        None, ge=1, description="tries of one read at most; as many as the deadline allows if none"
    )
    damage_attempts: int = Field(
        4, ge=1, description="tries at most where what arrives can't be decoded"
    )
    backoff_seconds: float = Field(
        0.5, ge=0, description="pause before the second try; doubled for each one after it"
    )
    longest_backoff_seconds: float = Field(30, ge=0, description="longest pause between tries")
    cache: Path | None = Field(
        None, description="folder where what was read is kept, as it was then; none if not given"
    )


DEFAULT_NETWORK = Network()


class ReadFailed(OSError):
    """A read that was tried in vain, or that the server refused: another try is no use now."""


def faults() -> tuple[type[Exception], ...]:
    """Errors of the network and the disk: OSError, and what libraries do not make one.

    Of the libraries that are imported: others can't have raised anything.
    """
    known = (
        ("aiohttp", "ClientError"),
        ("gcsfs.retry", "HttpError"),
        ("google.auth.exceptions", "GoogleAuthError"),
        ("botocore.exceptions", "BotoCoreError"),
    )
    loaded = [(sys.modules.get(module), name) for module, name in known]
    return (OSError, *(getattr(module, name) for module, name in loaded if module is not None))


def _status(fault: Exception) -> int | None:
    """The HTTP status that a server answered with (aiohttp: `status`, gcsfs: `code`)."""
    status = getattr(fault, "status", None) or getattr(fault, "code", None)
    return status if isinstance(status, int) else None


def _may_pass(fault: Exception) -> bool:
    """Whether another try may go better: a busy server, a lost connection, an answer cut off."""
    status = _status(fault)
    if status is not None:
        return status >= 500 or status in (408, 425, 429)
    # ValueError: an address that can't be one, or a certificate that is not valid.
    if isinstance(fault, ReadFailed | PermissionError | FileNotFoundError | ValueError):
        return False
    # gcsfs tells a refusal by this word alone.
    return getattr(fault, "errno", None) not in _DISK and not str(fault).startswith("Forbidden")


def _describe(fault: Exception) -> str:
    status = _status(fault)
    if status is not None:
        return f"the server answered {status} {http.client.responses.get(status, '')}".rstrip()
    if isinstance(fault, TimeoutError) and not str(fault):
        return "no answer in time"
    return one_line(fault)


class Tries:
    """Counts the tries of one read, says how long to wait for the next and when to give up."""

    def __init__(self, what: str, network: Network) -> None:
        self._what = what
        self._network = network
        self._start = time.monotonic()
        self._count = 0
        self._damaged = 0
        self._last = ""

    def seconds_left(self) -> float:
        return self._network.deadline_seconds - (time.monotonic() - self._start)

    def pause_after(self, fault: Exception, *, damaged: bool = False) -> float:
        """Seconds to wait before the next try; they double, and are not alike for two readers.

        Args:
            fault: what ended this try.
            damaged: whether the bytes arrived, but can't be decoded.

        Raises:
            ReadFailed: there is to be no other try.
        """
        network = self._network
        if not (self._last and self.seconds_left() <= 0 and isinstance(fault, TimeoutError)):
            # Cut off by the deadline, a try says less than the one before it.
            self._last = _describe(fault)
        self._count += 1
        self._damaged += damaged
        doubled = network.backoff_seconds * 2.0 ** min(self._count - 1, 30)
        pause = min(doubled, network.longest_backoff_seconds) * JITTER.uniform(0.5, 1.0)
        hopeless = self._damaged >= network.damage_attempts if damaged else not _may_pass(fault)
        enough = network.attempts is not None and self._count >= network.attempts
        if hopeless or enough or self.seconds_left() <= pause:
            seconds = time.monotonic() - self._start
            tries = "1 try" if self._count == 1 else f"{self._count} tries"
            raise ReadFailed(
                f"{self._what} can't be read: {self._last} ({tries} in {seconds:.0f} s)"
            ) from fault
        _log.info("%s: %s; trying again in %.1f s", self._what, self._last, pause)
        return pause


def retrying(read: Callable[[], T], what: str, network: Network = DEFAULT_NETWORK) -> T:
    """Read again, whole, what failed by a fault of the world or arrived damaged.

    A chunk that a server or a proxy cut without saying so shows only when it is decoded. Such
    damage (see `DAMAGED`) is tried `damage_attempts` times, because what is damaged where it is
    kept does not mend; other faults until the deadline. What a try that met damage took from a
    cache is thrown away, so that damage does not stay there.

    Args:
        read: is called once or several times.
        what: is read, for the message.
        network: how patiently.

    Raises:
        InputError, FileNotFoundError: from `read`, at once: a user's mistake does not pass.
        ReadFailed: the last fault, the number of tries and the time, in one line.
    """
    tries = Tries(what, network)
    while True:
        with _uses() as used:
            try:
                return read()
            except (InputError, ReadFailed, FileNotFoundError):
                raise
            except faults() + DAMAGED as error:
                fault = error
        damaged = isinstance(fault, gzip.BadGzipFile) or not isinstance(fault, faults())
        if damaged:
            for file in used:
                file.unlink(missing_ok=True)
        time.sleep(tries.pause_after(fault, damaged=damaged))


# The files of caches that each of the tries now under way has used, whichever thread asked.
_watchers: list[set[Path]] = []
_watchers_lock = threading.Lock()


@contextlib.contextmanager
def _uses() -> Iterator[set[Path]]:
    """Gathers the files of caches that are used until the end of the block.

    Those used by other threads as well: which thread asks for an object is not known where it is
    read, and to fetch a good one again does no harm.
    """
    used: set[Path] = set()
    with _watchers_lock:
        _watchers.append(used)
    try:
        yield used
    finally:
        with _watchers_lock:
            # By identity: equal sets of two readers are two sets.
            _watchers[:] = [watcher for watcher in _watchers if watcher is not used]


def note_use(file: Path) -> None:
    with _watchers_lock:
        for watcher in _watchers:
            watcher.add(file)
