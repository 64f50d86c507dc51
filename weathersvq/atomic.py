"""Under everything that writes: files and folders appear whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weathersvq.errors import InputError


@contextmanager
def atomic_path(target: Path | str) -> Iterator[Path]:
    """A path to write to instead of `target`, moved there when the block ends without an exception.

    It has the target's own name, in a hidden folder beside it (the same disk, so that the move is a
    rename). The block makes a file or a folder there. An older file or folder at `target` stays
    untouched until the move; after an exception everything new is removed.

    Raises:
        InputError: the folder of `target` can't be made or written.
    """
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise InputError(
            f"cannot write in folder {target.parent}: {error.strerror}; choose another with --out"
        ) from error
    try:
        fresh = folder / target.name
        yield fresh
        if target.is_dir() and not target.is_symlink():
            # A folder can't be renamed over one that holds something: the old one steps aside.
            old = folder / "old"
            os.rename(target, old)
            try:
                os.rename(fresh, target)
            except BaseException:
                os.rename(old, target)
                raise
        else:
            os.replace(fresh, target)
    finally:
        shutil.rmtree(folder)
