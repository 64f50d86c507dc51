"""Within the first step: short names of archives, the package's own and those that a user adds."""

from __future__ import annotations

import importlib.resources
import os
import re
from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from weathersvq.data.files import one_line
from weathersvq.errors import InputError
from weathersvq.schema import Section

# What names the archives that a user adds.
ARCHIVES_VARIABLE = "WEATHERSVQ_ARCHIVES"
_SHORT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# Names that mean something else as a source.
_TAKEN = ("sample", "bundled")


class Archive(Section):
    """A public archive that has a short name."""

    address: str = Field(min_length=1, description="URL or path of a source")
    description: str = Field("", description="what it holds, in one line")
    licence: str = Field("", description="what its users must know and say")


def archives() -> dict[str, Archive]:
    """The archives known by short names: the package's, then those that the user adds.

    Later files add to earlier ones and replace what has the same name: the package's own, then
    `weathersvq/archives.yaml` in the user's folder of settings, then the file named by the
    environment variable WEATHERSVQ_ARCHIVES.

    Raises:
        InputError: a file that is not there, can't be read, or has another form.
    """
    packaged = importlib.resources.files("weathersvq.data") / "archives.yaml"
    known = _parse_archives(packaged.read_text(encoding="utf-8"), "archives.yaml")
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    own = settings / "weathersvq" / "archives.yaml"
    named = os.environ.get(ARCHIVES_VARIABLE)
    for file in ([own] if own.is_file() else []) + ([Path(named).expanduser()] if named else []):
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"can't read the archives {str(file)!r}: {one_line(error)}; {ARCHIVES_VARIABLE} "
                "must name a YAML file"
            ) from error
        known |= _parse_archives(text, str(file))
    return known


def _parse_archives(text: str, file: str) -> dict[str, Archive]:
    form = "expected short names, each with an address, a description and a licence"
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise InputError(f"{file} holds no archives; {form}")
    found = {}
    for name, entry in document.items():
        if not isinstance(name, str) or not _SHORT_NAME.fullmatch(name) or name in _TAKEN:
            raise InputError(
                f"{file}: {name!r} can't be a short name; expected letters, digits, `-`, `_` and "
                f"`.`, and not {' or '.join(_TAKEN)}"
            )
        try:
            found[name] = Archive.model_validate(entry)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join((name, *map(str, first["loc"])))
            raise InputError(f"{file}: {where}: {first['msg'].lower()}; {form}") from error
    return found


def resolve(name: str) -> str:
    """The address of an archive that `name` is the short name of; else `name` itself.

    A folder of the same name is ``./NAME``.

    Raises:
        InputError: see `archives`.
    """
    archive = archives().get(name) if _SHORT_NAME.fullmatch(name) else None
    return name if archive is None else archive.address
