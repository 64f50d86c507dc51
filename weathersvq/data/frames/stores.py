"""Arrays in files, whatever the file: numbers are read a piece at a time, and nothing is unpickled.

npy and uncompressed npz are read where they lie, HDF5 and Zarr by their libraries, a compressed npz
as a stream. Every one of them becomes an `ArrayFile`.
"""

from __future__ import annotations

import math
import threading
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from weathersvq.data.frames.names import need
from weathersvq.errors import InputError

HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf", ".hkl", ".mat")
# A compressed member of an npz is held in memory up to this; a larger one is read as a stream.
MEMORY_BYTES = 2**30

_NPY = b"\x93NUMPY"
_ZIP = b"PK"
# A pickle of protocol 2 or later; the older ones have no mark.
_PICKLE = b"\x80"

Order = Literal["C", "F"]
# An index along each of the leading axes: a number, or an ascending list of positions.
Index = tuple[int | Sequence[int], ...]


@dataclass(frozen=True, eq=False)
class ArrayFile(ABC):
    """One array in a file.

    Attributes:
        name: for messages: the file, and the array in it.
        shape: of the array.
        dtype: of the array.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype

    @abstractmethod
    def read(self, index: Index) -> NDArray[Any]:
        """Part of the array.

        Args:
            index: of the leading axes; at most one of them a list.

        Raises:
            InputError: a file that is damaged.
        """


@dataclass(frozen=True, eq=False)
class PlainArray(ArrayFile):
    """Lies in a file as it is in memory.

    Frames that follow each other are read in one go. Mapping the file into memory instead takes
    twenty times as long for windows from all over a large file, and all that was ever looked at
    counts as memory of this process. Only Fortran order, in which a frame lies scattered over all
    of the file, is mapped, anew for each read.
    """

    path: Path
    offset: int
    order: Order

    def read(self, index: Index) -> NDArray[Any]:
        if self.order == "F":
            mapped = np.memmap(self.path, self.dtype, "r", self.offset, self.shape, "F")
            return np.array(mapped[index])
        with self.path.open("rb") as file:

            def read_bytes(start: int, count: int) -> bytes:
                file.seek(self.offset + start)
                values = file.read(count)
                if len(values) != count:
                    raise InputError(f"{self.name} is cut off; get it again")
                return values

            return gather(index, self.shape, self.dtype, read_bytes)


def gather(
    index: Index,
    shape: tuple[int, ...],
    dtype: np.dtype,
    read_bytes: Callable[[int, int], bytes],
) -> NDArray[Any]:
    """Part of an array in C order, by as few reads as there are gaps.

    Args:
        index: see `ArrayFile.read`.
        shape, dtype: of the array.
        read_bytes: (start, count) of bytes, start counted from the array's beginning.
    """
    outer, inner = shape[: len(index)], shape[len(index) :]
    lists = [np.atleast_1d(np.asarray(part, np.intp)) for part in index]
    places = np.ravel_multi_index(tuple(np.meshgrid(*lists, indexing="ij")), outer).ravel()
    size = math.prod(inner) * dtype.itemsize
    result = np.empty((places.size, *inner), dtype)
    done = 0
    for run in slices(places.tolist()):
        count = run.stop - run.start
        values = np.frombuffer(read_bytes(run.start * size, count * size), dtype)
        result[done : done + count] = values.reshape(count, *inner)
        done += count
    return result.reshape(*(len(p) for p in index if not isinstance(p, int)), *inner)


@dataclass(frozen=True, eq=False)
class PackedArray(ArrayFile):
    """A compressed member of an npz, which can only be read from its beginning."""

    path: Path
    member: str
    offset: int
    order: Order
    lock: Any = field(default_factory=threading.Lock, init=False)
    kept: list[Any] = field(default_factory=list, init=False)

    def read(self, index: Index) -> NDArray[Any]:
        size = math.prod(self.shape) * self.dtype.itemsize
        with self.lock:
            if size <= MEMORY_BYTES:
                if not self.kept:
                    flat = np.frombuffer(self._bytes(self._open(), 0, size), self.dtype)
                    self.kept.append(flat.reshape(self.shape, order=self.order))
                return np.array(self.kept[0][index])
            if self.order == "F":
                raise InputError(
                    f"{self.name} is compressed, of {size / 1e9:.1f} GB and in Fortran order, "
                    "which can't be read a piece at a time; save it as .npy"
                )
            if not self.kept:
                self.kept.append(self._open())
            stream = self.kept[0]
            return gather(
                index, self.shape, self.dtype, lambda start, n: self._bytes(stream, start, n)
            )

    def _open(self) -> IO[bytes]:
        return zipfile.ZipFile(self.path).open(self.member)

    def _bytes(self, stream: IO[bytes], start: int, count: int) -> bytes:
        try:
            # Going back starts anew from the member's beginning; windows in order never do much.
            stream.seek(self.offset + start)
            values = stream.read(count)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError) as error:
            raise InputError(f"{self.name} is damaged ({error}); get it again") from error
        if len(values) != count:
            raise InputError(f"{self.name} is cut off; get it again")
        return values


@dataclass(frozen=True, eq=False)
class LibraryArray(ArrayFile):
    """An array of HDF5 or Zarr, which reads slices well and lists of positions badly."""

    array: Any
    lock: Any = field(default_factory=threading.Lock, init=False)

    def read(self, index: Index) -> NDArray[Any]:
        listed = [axis for axis, part in enumerate(index) if not isinstance(part, int)]
        with self.lock:
            try:
                if not listed:
                    return np.asarray(self.array[index])
                axis = listed[0]
                parts = [
                    np.asarray(self.array[(*index[:axis], piece, *index[axis + 1 :])])
                    for piece in slices(index[axis])  # type: ignore[arg-type]
                ]
            except (OSError, RuntimeError, ValueError, KeyError) as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise InputError(f"{self.name} is damaged ({reason}); get it again") from error
        return np.concatenate(parts, axis=sum(not isinstance(part, int) for part in index[:axis]))


def slices(positions: Sequence[int]) -> list[slice]:
    """Ascending positions as runs without gaps."""
    found: list[slice] = []
    for position in positions:
        if found and found[-1].stop == position:
            found[-1] = slice(found[-1].start, position + 1)
        else:
            found.append(slice(position, position + 1))
    return found


def open_arrays(path: Path) -> dict[str, ArrayFile]:
    """All arrays of a file by their names; an npy file's only one is called ``.

    Raises:
        InputError: nothing there, no file of arrays, a pickle, or Python objects in it.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; give a file of arrays that does")
    if path.is_dir():
        return _zarr(path)
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(_NPY):
        return {"": _npy(path)}
    if start.startswith(_ZIP):
        return _npz(path)
    if start == b"\x89HDF\r\n\x1a\n" or path.suffix.lower() in HDF5_SUFFIXES:
        return _hdf5(path)
    if start.startswith(_PICKLE) or path.suffix.lower() in (".pkl", ".pickle"):
        raise _pickle(str(path))
    raise InputError(
        f"{path} is not a file of arrays, or a damaged one; expected npy, npz, HDF5 or Zarr"
    )


def _pickle(name: str) -> InputError:
    return InputError(
        f"{name} is a pickle of Python objects, which is never opened since it can run code; save "
        "its numbers with numpy.save"
    )


def _header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], Order, np.dtype, int]:
    """Shape, order, type and where the numbers start, of what is in npy form."""
    start = file.read(len(_NPY))
    if start != _NPY:
        if start.startswith(_PICKLE):
            raise _pickle(name)
        raise InputError(f"{name} is not an array in npy form; save it with numpy.save")
    file.seek(0)
    try:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = read(file)
    except (ValueError, KeyError, EOFError) as error:
        raise InputError(f"{name} is a damaged npy file; get it again") from error
    if dtype.hasobject:
        raise _pickle(name)
    return shape, "F" if fortran else "C", dtype, file.tell()


def _npy(path: Path) -> ArrayFile:
    with path.open("rb") as file:
        shape, order, dtype, offset = _header(file, str(path))
    needed = offset + math.prod(shape) * dtype.itemsize
    if path.stat().st_size < needed:
        raise InputError(
            f"{path} has {path.stat().st_size:,} bytes of {needed:,}: it is cut off; get it again"
        )
    return PlainArray(str(path), shape, dtype, path, offset, order)


def _npz(path: Path) -> dict[str, ArrayFile]:
    """The members where they are: nothing is unpacked, so it does not matter what they are called."""
    found: dict[str, ArrayFile] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.is_dir():
                    continue
                name = f"{info.filename!r} in {path}"
                with archive.open(info) as member:
                    shape, order, dtype, offset = _header(member, name)
                key = info.filename.removesuffix(".npy")
                if info.compress_type != zipfile.ZIP_STORED:
                    found[key] = PackedArray(name, shape, dtype, path, info.filename, offset, order)
                else:
                    start = _member_start(path, info)
                    found[key] = PlainArray(name, shape, dtype, path, start + offset, order)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path} is a damaged or encrypted npz ({error}); get it again") from error
    if not found:
        raise InputError(f"{path} holds no arrays; save them with numpy.savez")
    return found


def _member_start(path: Path, info: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin: after its local header, whose two names vary in length."""
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)
        name, extra = np.frombuffer(file.read(4), "<u2")
    return info.header_offset + 30 + int(name) + int(extra)


def _hdf5(path: Path) -> dict[str, ArrayFile]:
    h5py = need("h5py", f"reading {path}")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path} is not HDF5, or a damaged file of it; get it again") from error
    found: dict[str, ArrayFile] = {}

    def collect(group: Any, prefix: str) -> None:
        for key in group:
            link = group.get(key, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise InputError(
                    f"{prefix}{key} of {path} lies in another file, {link.filename!r}, which is "
                    "not followed; give that file"
                )
            item = group[key]
            if isinstance(item, h5py.Group):
                # A soft link to a group above it would never end.
                if isinstance(link, h5py.HardLink):
                    collect(item, f"{prefix}{key}/")
            elif isinstance(item, h5py.Dataset) and item.shape is not None:
                name = f"{prefix}{key} of {path}"
                if item.external or item.is_virtual:
                    raise InputError(
                        f"{name} keeps its numbers in other files, which are not followed; copy "
                        "them into one"
                    )
                found[prefix + key] = LibraryArray(name, item.shape, item.dtype, item)

    collect(file, "")
    if not found:
        raise InputError(f"{path} holds no arrays; expected a dataset of frames")
    return found


def _zarr(path: Path) -> dict[str, ArrayFile]:
    import zarr

    try:
        opened = zarr.open(str(path), mode="r")
        arrays = {"": opened} if isinstance(opened, zarr.Array) else dict(opened.arrays())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a Zarr store of arrays, or a damaged one") from error
    if not arrays:
        raise InputError(f"{path} holds no arrays; expected a Zarr store with one of frames")
    return {
        key: LibraryArray(f"{key} of {path}" if key else str(path), a.shape, a.dtype, a)
        for key, a in arrays.items()
    }


def choose_array(
    arrays: Mapping[str, ArrayFile], key: str | None, source: Path, option: str = "key"
) -> ArrayFile:
    """The array of frames among those of a file.

    Raises:
        InputError: a key that is not there, or none given where there are several to choose from.
    """
    fitting = [name for name, array in arrays.items() if 3 <= len(array.shape) <= 5]
    if key is None:
        if len(fitting) != 1:
            known = ", ".join(f"{n} {list(a.shape)}" for n, a in arrays.items())
            raise InputError(
                f"{source} holds {len(fitting)} arrays that could be frames ({known}); say which "
                f"with the option `{option}`"
            )
        key = fitting[0]
    if key not in arrays:
        raise InputError(
            f"{source} has no array {key!r}; it has {', '.join(name or '(one)' for name in arrays)}"
        )
    array = arrays[key]
    if array.dtype.hasobject:
        raise _pickle(array.name)
    if array.dtype.kind not in "buif":
        raise InputError(f"{array.name} is of type {array.dtype}; expected numbers")
    return array
