"""Within the first step: archives elsewhere, by a short name or an address, read with patience.

Servers are slow, busy or away for a while. Every request has a limit, is repeated after a pause
when the fault may pass, and ends by a deadline in one line (OSError). Public archives are read
without an account.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import errno
import functools
import glob
import hashlib
import http.client
import logging
import os
import re
import shutil
import tempfile
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import fsspec
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.storage import FsspecStore, LocalStore, WrapperStore

from weathersvq.data.archives import Archive, archives, resolve
from weathersvq.data.chunks import is_metadata, is_sound
from weathersvq.data.files import one_line
from weathersvq.data.patience import (
    DEFAULT_NETWORK,
    Network,
    ReadFailed,
    Tries,
    faults,
    note_use,
    retrying,
)
from weathersvq.errors import InputError

__all__ = (
    "CLOUD",
    "DEFAULT_NETWORK",
    "Archive",
    "Network",
    "ReadFailed",
    "RemoteStore",
    "archives",
    "fetch_files",
    "open_remote_zarr",
    "probe",
    "resolve",
    "retrying",
)

T = TypeVar("T")

HTTP = ("http", "https")
GOOGLE = ("gs", "gcs")
AMAZON = ("s3", "s3a")
# Protocols whose packages come with the extra `cloud`.
CLOUD = (*HTTP, *GOOGLE)


# Hosts that have answered this process.
_answered: set[str] = set()


def probe(url: str, network: Network = DEFAULT_NETWORK) -> None:
    """See that the host of an address answers at all, before anything waits for it with patience.

    Without a network, a library may try for minutes. A host that has answered once is not asked
    again by this process: what it fails at later may pass, and is waited for.

    Raises:
        OSError: no network, no such host, or no answer within `probe_seconds`.
        InputError: an address without a host.
    """
    host = _host(url)
    if host is None or host in _answered:
        return
    reasons: list[str] = []
    # A thread, because looking up a name can't be given a limit.
    thread = threading.Thread(
        target=lambda: reasons.append(_why_silent(host, network.probe_seconds)), daemon=True
    )
    thread.start()
    thread.join(network.probe_seconds)
    reason = reasons[0] if reasons else f"no answer within {network.probe_seconds:g} s"
    if reason:
        raise ReadFailed(
            f"{url!r} can't be read: {urlsplit(host).netloc} can't be reached ({reason}); is "
            "there a network?"
        )
    _answered.add(host)


def _host(url: str) -> str | None:
    """The HTTP address that a URL's requests go to; None where that is not known."""
    protocol = _protocol(url)
    if protocol in HTTP:
        # Without the user's name and password, which belong to the requests for the data.
        host = urlsplit(_last_address(url)).netloc.rpartition("@")[2]
        if not host:
            raise InputError(f"{url!r} names no host; expected {protocol}://HOST/PATH")
        return f"{protocol}://{host}/"
    if protocol in GOOGLE:
        emulator = os.environ.get("STORAGE_EMULATOR_HOST") or "https://storage.googleapis.com"
        return emulator if "://" in emulator else f"http://{emulator}"
    if protocol in AMAZON:
        settings = fsspec.config.conf.get(protocol, {})
        named = (settings.get("endpoint_url"), os.environ.get("AWS_ENDPOINT_URL"))
        return next((str(endpoint) for endpoint in named if endpoint), "https://s3.amazonaws.com")
    return None


def _last_address(url: str) -> str:
    """The address at the end of a chain such as ``simplecache::https://...``."""
    return re.split(r"::(?=[A-Za-z][\w+.-]*://)", url)[-1]


def _protocol(url: str) -> str:
    return _last_address(url).split("://")[0]


def _why_silent(host: str, seconds: float) -> str:
    """Why a host can't be reached; empty if it can: it answers, though perhaps with an error."""
    try:
        urllib.request.urlopen(urllib.request.Request(host, method="HEAD"), timeout=seconds).close()
    except urllib.error.HTTPError as answer:
        answer.close()
    except (ConnectionResetError, http.client.HTTPException):
        return ""  # it is there, but in trouble
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return reason if isinstance(reason, str) else one_line(reason)
    return ""


def _check_protocol(url: str) -> None:
    """See that an address is of a known protocol, and that its package is there.

    Raises:
        InputError: it is not.
    """
    protocol = _protocol(url)
    known = sorted(fsspec.available_protocols())
    if protocol not in known:
        raise InputError(f"unknown protocol in {url!r}; known are {', '.join(known)}")
    try:
        fsspec.get_filesystem_class(protocol)
        if protocol in GOOGLE:
            # fsspec remembers what it has imported once.
            import gcsfs  # type: ignore[import-untyped] # noqa: F401
    except ImportError as error:
        install = "pip install 'weathersvq[cloud]'" if protocol in CLOUD else "install it"
        raise InputError(
            f"{url!r} needs a package for {protocol}:// ({one_line(error)}); {install}"
        ) from error


def _file_system(url: str, network: Network, *, asynchronous: bool) -> tuple[Any, str]:
    """The file system of fsspec for an address, without an account, and the path in it.

    Raises:
        InputError: an unknown protocol, or one whose package is not installed.
    """
    _check_protocol(url)
    protocol = _protocol(url)
    file_system = fsspec.get_filesystem_class(protocol)
    options = _options(protocol, network)
    if _last_address(url) != url:
        return fsspec.url_to_fs(url, **{protocol: options})
    if protocol in GOOGLE:
        import gcsfs

        # Not the class registered for gs://, which asks for the kind of a bucket before each read,
        # in vain where one has no account.
        google = gcsfs.core.GCSFileSystem(asynchronous=asynchronous, **options)
        return google, url.split("://")[1].rstrip("/")
    if file_system.async_impl:
        options["asynchronous"] = asynchronous
    return fsspec.url_to_fs(url.rstrip("/"), **options)


def _options(protocol: str, network: Network) -> dict[str, Any]:
    """Options of a file system; what the user sets in fsspec's own configuration goes before."""
    own: dict[str, Any] = fsspec.config.conf.get(protocol, {})
    if protocol in AMAZON:
        return {"anon": True} | own
    if protocol not in CLOUD:
        return dict(own)
    import aiohttp

    # No limit to the whole of a request: a large chunk over a slow line takes its time.
    seconds = network.request_seconds
    limits = aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds)
    session = {"trust_env": True}  # proxies, and passwords in .netrc
    if protocol in HTTP:
        return {"client_kwargs": {"timeout": limits} | session} | own
    return {"token": "anon", "requests_timeout": limits, "session_kwargs": session} | own


# gcsfs prints what it fails at with a traceback, unless somebody listens; the fault is told here.
logging.getLogger("gcsfs").addHandler(logging.NullHandler())


class RemoteStore(WrapperStore[FsspecStore]):
    """A Zarr store elsewhere, for reading: every request is limited, and repeated as `Network` says.

    An object that is not there stays a missing chunk. With a cache, whole objects are kept on disk,
    as they were when they were first read.
    """

    def __init__(self, store: FsspecStore, url: str, network: Network) -> None:
        super().__init__(store)
        self.url = url
        self._network = network
        self._cache: LocalStore | None = None
        if network.cache is not None:
            self._cache = LocalStore(network.cache.expanduser() / "stores" / _local_name(url))
        # Of HTTP, silence is limited (see `_options`), not the whole request.
        silence = _protocol(url) in CLOUD
        self._limit = network.deadline_seconds if silence else network.request_seconds

    def _with_store(self, store: FsspecStore) -> Self:
        return type(self)(store, self.url, self._network)

    def __dask_tokenize__(self) -> tuple[str, str]:
        return (type(self).__name__, self.url)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """An object or a part of it; None if there is none.

        Raises:
            ReadFailed: a refusal, or a fault that did not pass.
        """
        if self._cache is None:
            return await self._fetch(key, prototype, byte_range)
        kept = await self._cache.get(key, prototype, byte_range)
        if kept is None:
            whole = await self._fetch(key, prototype, None)
            if whole is None:
                return None
            if is_sound(key, whole):
                await self._cache.set(key, whole)
            if byte_range is None:
                kept = whole
            else:
                kept = await self._cache.get(key, prototype, byte_range)
        note_use(self._cache.root / key)
        # Another thread may have thrown away the copy that was just made.
        return await self._fetch(key, prototype, byte_range) if kept is None else kept

    async def _fetch(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None
    ) -> Buffer | None:
        what = f"{self.url}/{key}"
        for attempt in range(self._network.damage_attempts):
            if attempt:
                await asyncio.sleep(self._network.backoff_seconds)
            value = await self._patiently(what, lambda: self._store.get(key, prototype, byte_range))
            if value is None or is_sound(key, value):
                return value
        if is_metadata(key):
            return value  # for Zarr to complain about: this is no store
        raise ReadFailed(f"{what} can't be read: it arrives cut ({attempt + 1} tries)")

    async def _patiently(self, what: str, request: Callable[[], Awaitable[T]]) -> T:
        tries = Tries(what, self._network)
        while True:
            try:
                async with asyncio.timeout(min(self._limit, tries.seconds_left())):
                    return await request()
            except FileNotFoundError:
                raise
            except faults() as fault:
                pause = tries.pause_after(fault)
            finally:
                # Not earlier: what is arranged last is done first, and sessions are closed at the
                # end as well.
                _end_with_the_program(asyncio.get_running_loop())
            await asyncio.sleep(pause)

    async def exists(self, key: str) -> bool:
        # Not asked of fsspec, which takes a busy server's answer for "no".
        return await self.get(key, default_buffer_prototype()) is not None

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return await asyncio.gather(
            *(self.get(key, prototype, byte_range) for key, byte_range in key_ranges)
        )

    async def _get_many(
        self, requests: Iterable[tuple[str, BufferPrototype, ByteRequest | None]]
    ) -> AsyncGenerator[tuple[str, Buffer | None], None]:
        for key, prototype, byte_range in requests:
            yield key, await self.get(key, prototype, byte_range)

    async def list(self) -> AsyncIterator[str]:
        for name in await self._collect("", self._store.list):
            yield name

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        for name in await self._collect(prefix, lambda: self._store.list_prefix(prefix)):
            yield name

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        for name in await self._collect(prefix, lambda: self._store.list_dir(prefix)):
            yield name

    async def _collect(
        self, prefix: str, entries: Callable[[], AsyncIterator[str]]
    ) -> tuple[str, ...]:
        async def names() -> tuple[str, ...]:
            return tuple([name async for name in entries()])

        return await self._patiently(f"{self.url}/{prefix}", names)


@functools.cache
def _end_with_the_program(loop: asyncio.AbstractEventLoop) -> None:
    """Arrange that what is under way when the program ends is cancelled.

    Where one chunk fails, the requests for its neighbours go on; broken off by the end of the
    program, each would print its own complaint.
    """

    async def cancel() -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=1)

    def end() -> None:
        if loop.is_running():
            ended = asyncio.run_coroutine_threadsafe(cancel(), loop)
            concurrent.futures.wait([ended], timeout=2)

    atexit.register(end)


def open_remote_zarr(url: str, network: Network = DEFAULT_NETWORK) -> RemoteStore:
    """A Zarr store elsewhere, to be given to `xarray.open_zarr`.

    Raises:
        InputError: an unknown protocol, or one whose package is not installed.
        OSError: there is no network, or the host does not answer.
    """
    file_system, path = _file_system(url, network, asynchronous=True)
    probe(url, network)
    if not (file_system.async_impl and file_system.asynchronous):
        from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

        file_system = AsyncFileSystemWrapper(file_system, asynchronous=True)
    return RemoteStore(FsspecStore(file_system, read_only=True, path=path), url, network)


def fetch_files(url: str, network: Network = DEFAULT_NETWORK) -> list[Path]:
    """Local copies of a file elsewhere, or of all that a pattern names, in the order of their names.

    Kept in the cache, or until the program ends. A copy gets its name when it is complete, so that
    none is ever half a file (fsspec's own caches would take one for whole).

    Raises:
        InputError: an unknown protocol, or one whose package is not installed.
        FileNotFoundError: nothing there.
        OSError: no network, or a fault that did not pass.
    """
    file_system, path = _file_system(url, network, asynchronous=False)
    probe(url, network)
    found = [path]
    # In the address of a web page, `?` begins a query.
    if glob.has_magic(path.replace("?", "") if _protocol(url) in HTTP else path):
        found = retrying(lambda: sorted(map(str, file_system.glob(path))), url, network)
    if not found:
        raise FileNotFoundError(errno.ENOENT, "no file matches", url)
    folder = _folder_of_this_run() if network.cache is None else network.cache.expanduser()
    return [_fetch_file(file_system, file, folder / "files", network) for file in found]


def _fetch_file(file_system: Any, file: str, folder: Path, network: Network) -> Path:
    address = str(file_system.unstrip_protocol(file))
    copy = folder / _local_name(address)
    if copy.exists():
        return copy
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{copy.name}.{uuid.uuid4().hex}.partial"
    try:
        retrying(lambda: file_system.get_file(file, str(partial)), repr(address), network)
        partial.replace(copy)
    finally:
        partial.unlink(missing_ok=True)
    return copy


@functools.cache
def _folder_of_this_run() -> Path:
    """A temporary folder that goes away with the process."""
    folder = Path(tempfile.mkdtemp(prefix="weathersvq-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _local_name(url: str) -> str:
    """A file name that a person recognises and that no other address has."""
    last = re.sub(r"[^\w.-]", "_", urlsplit(url.rstrip("/")).path.rpartition("/")[2])[-60:]
    return f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{last}"
