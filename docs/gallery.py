"""Runs the commands of docs/maps.md and keeps their pictures, small, in docs/pictures.

python docs/gallery.py      # docs/pictures/map_*.png and .gif, a minute
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from weathersvq.atomic import atomic_path
from weathersvq.maps.animation import few_colours

DOCS = Path(__file__).parent
COMMAND = "    weathersvq "


def commands(page: Path) -> list[list[str]]:
    """Arguments of the indented commands of a page, in its order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    return [shlex.split(line.removeprefix(COMMAND)) for line in lines if line.startswith(COMMAND)]


def keep(picture: Path) -> Path:
    """A picture in docs/pictures: an animation as it is, a still one in few colours."""
    path = DOCS / "pictures" / picture.name
    with atomic_path(path) as fresh:
        if picture.suffix == ".gif":
            fresh.write_bytes(picture.read_bytes())
        else:
            with Image.open(picture) as full:
                few = few_colours(full.convert("RGB"))
            few.save(fresh, optimize=True)
    return path


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for arguments in commands(DOCS / "maps.md"):
            program = [sys.executable, "-m", "weathersvq.cli", *arguments]
            subprocess.run(program, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        for picture in sorted(Path(folder).glob("map_*")):
            path = keep(picture)
            print(f"wrote {path}, {path.stat().st_size / 1000:.0f} kB")
