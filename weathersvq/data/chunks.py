"""Within the first step: whether the objects of a Zarr store, local or remote, are whole.

Blosc's decoder reads on behind a chunk that was cut, and may even succeed, with garbage.
"""

from __future__ import annotations

import json
import struct

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

# Objects that are JSON, so that it shows at once whether they are whole.
_METADATA = (".zmetadata", ".zgroup", ".zarray", ".zattrs", "zarr.json")


def is_metadata(key: str) -> bool:
    """Whether a key of a Zarr store names JSON and not a chunk."""
    return key.rpartition("/")[2] in _METADATA


def is_sound(key: str, value: Buffer) -> bool:
    """Whether an object can be whole, as far as that shows without decoding it.

    Metadata must be JSON. A chunk that Blosc compressed says how long it is; its decoder does not
    look how much there is, and reads on in whatever lies behind it in memory.
    """
    if not is_metadata(key):
        return len(value) >= blosc_length(value.to_bytes()[:16])
    try:
        json.loads(value.to_bytes())
    except ValueError:
        return False
    return True


def blosc_length(start: bytes) -> int:
    """How long a chunk is, by its first 16 bytes, if these are a header of Blosc; else 0.

    The header of c-blosc 1: versions of the format and of the compressor, flags, the size of an
    item, then three lengths in bytes: of the data, of a block of them, of the chunk.
    """
    if len(start) < 16:
        return 0
    version, version_inside, _, item, data, block, length = struct.unpack("<4B3I", start)
    fits = data and item and data % item == 0 and 0 < block <= data and length <= data + 16
    return length if (version, version_inside) == (2, 1) and fits else 0


class CheckedStore(LocalStore):
    """A local store that refuses chunks which are shorter than they say."""

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """As `LocalStore.get`.

        Raises:
            ValueError: a chunk that is cut.
        """
        value = await super().get(key, prototype, byte_range)
        whole = value is None or byte_range is not None or is_metadata(key) or is_sound(key, value)
        if not whole:
            raise ValueError(f"the chunk {key} is cut")
        return value
