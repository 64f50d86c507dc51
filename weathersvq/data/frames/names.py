"""Names of files and what is missing among them: shared by the readers."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from types import ModuleType

from weathersvq.errors import InputError

_DIGITS = re.compile(r"(\d+)")
_LAST_NUMBER = re.compile(r"^(.*?)(\d+)(\D*)$")


def natural_order(name: str) -> tuple[tuple[int, int, str], ...]:
    """Key that sorts `image_10` after `image_9`."""
    # Numbers before text, so that keys of unlike names can be compared.
    return tuple(
        (0, int(part), part) if part.isdigit() else (1, 0, part) for part in _DIGITS.split(name)
    )


def last_number(name: str) -> tuple[str, int | None, str]:
    """`image_0042.jpg` -> (`image_`, 42, `.jpg`); None for a name without a number."""
    found = _LAST_NUMBER.match(Path(name).stem)
    if found is None:
        return Path(name).stem, None, Path(name).suffix
    return found[1], int(found[2]), found[3] + Path(name).suffix


def consecutive(names: Sequence[str], step: int) -> Iterator[range]:
    """Runs of positions in `names` whose last numbers go up by `step`."""
    start = 0
    for position in range(1, len(names) + 1):
        if position < len(names):
            before, here = last_number(names[position - 1]), last_number(names[position])
            if before[1] is None or here[1] is None or here[1] - before[1] == step:
                continue
        yield range(start, position)
        start = position


def inside(root: Path, name: str, origin: str) -> Path:
    """A path that a list names, which must not lead out of the list's root.

    Raises:
        InputError: an absolute path, or one with enough `..` to leave.
    """
    depth = 0
    parts = PurePosixPath(name.replace("\\", "/")).parts
    for part in parts:
        depth += -1 if part == ".." else 1
        if depth < 0 or part.startswith("/") or ":" in part:
            raise InputError(
                f"{origin} names {name!r}, which lies outside of {root}; list files below it only"
            )
    return root.joinpath(*parts)


def need(module: str, what: str) -> ModuleType:
    """A module of the extra `video`.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{what} needs the package {module.partition('.')[0]!r}, which is not installed; "
            "pip install 'weathersvq[video]'"
        ) from error
