"""Prints what a project needs, with some of its extras: its dependencies without the project.

python docker/requirements.py pyproject.toml train grib > requirements.txt
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


def requirements(project: dict[str, Any], extras: Sequence[str]) -> list[str]:
    """The requirements of a `project` table, those of extras that name further extras included."""
    own = re.compile(rf"{re.escape(project['name'])}\[([^\]]*)\]")

    def of_extra(name: str) -> Iterator[str]:
        if name not in project["optional-dependencies"]:
            known = ", ".join(project["optional-dependencies"])
            raise SystemExit(f"no extra {name!r} in pyproject.toml; there are {known}")
        for requirement in project["optional-dependencies"][name]:
            nested = own.match(requirement)
            if nested is None:
                yield requirement
                continue
            for inner in nested[1].split(","):
                yield from of_extra(inner.strip())

    found = [*project["dependencies"], *(each for name in extras for each in of_extra(name))]
    return list(dict.fromkeys(found))


if __name__ == "__main__":
    table = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["project"]
    print(*requirements(table, sys.argv[2:]), sep="\n")
