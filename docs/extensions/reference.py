"""Parts of pages that are made from the code when the site is built, so that nothing is typed twice.

A page holds a comment such as `<!-- made from the code: commands -->`; on the way into Sphinx,
Markdown takes its place: every verb of the command line, every key of a config, every model.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from weathersvq.cli import app as command_line
from weathersvq.cli.describe import describe
from weathersvq.config import Experiment
from weathersvq.models.catalogue import PARTS
from weathersvq.schema import Section, choose, kind_of

_MARK = re.compile(r"<!-- made from the code: ([a-z ]+) -->")
_OPTION = re.compile(r"(?<![\w`-])(--[a-z][a-z-]*)")
_WORDS: dict[object, str] = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "true or false",
    Path: "path",
}
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def commands() -> str:
    """Every verb with its arguments and options."""
    group = typer.main.get_command(command_line)
    callbacks = {
        each.name or each.callback.__name__: each.callback
        for each in command_line.registered_commands
        if each.callback is not None
    }
    lines: list[str] = []
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        hints = get_type_hints(callbacks[name])
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        usage = " ".join(
            each.name.upper() if each.required else f"[{each.name.upper()}]" for each in arguments
        )
        lines += ["", f"## weathersvq {name}", "", _with_options_as_code(command.help or ""), ""]
        lines += [f"    weathersvq {name} {usage} [OPTIONS]".replace("  [", " ["), ""]
        rows = [
            _option_row(each, hints[each.name]) for each in command.params if each.name in hints
        ]
        lines += _table(("name", "takes", "default", "meaning"), rows)
    return "\n".join(lines)


def _option_row(option: Any, hint: object) -> tuple[str, str, str, str]:
    """Name, what it takes, default and meaning of an argument or option."""
    if option.param_type_name == "argument":
        names = f"`{option.name.upper()}`"
    else:
        names = ", ".join(f"`{each}`" for each in (*option.opts, *option.secondary_opts))
    flag = hint is bool
    takes = (
        "" if flag else _type_words(hint).removesuffix(" or none").replace("list of names", "text")
    )
    if option.multiple:
        takes += ", repeatable"
    default = "required" if option.required else _shown(option.default, none="")
    if flag:
        default = "on" if option.default else "off"
    return names, takes, default, _with_options_as_code(option.help or "")


def _with_options_as_code(text: str) -> str:
    """`--out` in a sentence, so that its hyphens stay two."""
    return _OPTION.sub(r"`\1`", text)


def config_keys() -> str:
    """Every key of an experiment, section by section, with the alternatives of its model."""
    lines = ["## At the top", ""]
    sections = {
        name: list(_sections_in(field.annotation))
        for name, field in Experiment.model_fields.items()
    }
    lines += _keys(Experiment)
    for name, alternatives in sections.items():
        for section in alternatives:
            kind = f", `kind: {kind_of(section)}`" if "kind" in section.model_fields else ""
            lines += ["", f"## {name}{kind}", "", _first_line(section), "", *_keys(section)]
    for role, classes in PARTS.items():
        lines += ["", f"## {role}s", "", f"Each is chosen by its `kind`, of {len(classes)}:", ""]
        for each in classes:
            lines += ["", f"### {kind_of(each.Config)} ({role})", "", _first_line(each)]
            lines += ["", *_keys(each.Config)]
    return "\n".join(lines)


def model_zoo() -> str:
    """Models with their sizes, as `weathersvq models --json` counts them; then the parts."""
    command = [sys.executable, "-m", "weathersvq.cli", "models", "--json"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    sizes = json.loads(printed)
    setting = sizes[0]["setting"]
    lines = [f"Counted on windows of {setting} (T_in x C x H x W -> T_out).", ""]
    rows = [
        (
            f"`{each['name']}`",
            f"`{each['kind']}`",
            f"{each['parameters'] / 1e6:.2f}",
            _published(each["published_parameters_m"]),
            f"{each['macs'] / 1e9:.2f}",
            _published(each["published_gmacs"]),
        )
        for each in sizes
    ]
    lines += _table(
        ("name", "kind", "parameters [M]", "published", "GMAC", "published"), rows, numbers=4
    )
    for role, classes in PARTS.items():
        lines += ["", f"## Every {role}", ""]
        lines += _table(
            ("kind", "what it is", "paper"),
            [(f"`{kind_of(each.Config)}`", _first_line(each), each.reference) for each in classes],
        )
    return "\n".join(lines)


def bundled() -> str:
    """What `weathersvq inspect bundled` says."""
    return "\n".join(
        _table(("", ""), [(str(name), str(value)) for name, value in describe("bundled")])
    )


PARTS_OF_PAGES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "config keys": config_keys,
    "model zoo": model_zoo,
    "bundled model": bundled,
}


def _published(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _first_line(thing: type) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]


def _sections_in(annotation: object) -> Iterator[type[Section]]:
    """The config sections that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections_in(inner)


def _keys(section: type[Section], prefix: str = "") -> list[str]:
    rows = list(_key_rows(section, prefix))
    if not rows:
        return ["No options."]
    return _table(("key", "type", "default", "meaning"), rows)


def _key_rows(section: type[Section], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    for name, field in section.model_fields.items():
        inner = list(_sections_in(field.annotation))
        plain = [each for each in inner if "kind" not in each.model_fields and each is not Section]
        if name == "kind" and section is not Experiment:
            continue
        if plain and section is not Experiment:
            yield from _key_rows(plain[0], f"{prefix}{name}.")
            continue
        default = "required" if field.is_required() else _shown(field.get_default())
        meaning = field.description or (_first_line(plain[0]) if plain else "")
        yield f"`{prefix}{name}`", key_type(field), default, meaning


def key_type(field: FieldInfo) -> str:
    """What a key takes, in words: `whole number, at least 1`."""
    return _type_words(field.annotation, field.metadata)


def _type_words(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    for each in metadata:
        check = each.func if isinstance(each, BeforeValidator) else None
        if isinstance(check, partial) and check.func is choose:
            return f"a [{check.args[0]}](#{check.args[0]}s)"
    if get_origin(annotation) is Annotated:
        annotation, *inner = get_args(annotation)
        return _type_words(annotation, [*inner, *metadata])
    words = _plain_words(annotation)
    for each in metadata:
        for bound, word in _BOUNDS.items():
            if getattr(each, bound, None) is not None:
                words += f", {word} {getattr(each, bound):,.10g}"
        if getattr(each, "multiple_of", None) is not None:
            words += f", a multiple of {each.multiple_of:g}"
    return words


def _plain_words(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation in _WORDS:
        return _WORDS[annotation]
    if origin is Literal:
        return " or ".join(f"`{each}`" for each in inner)
    if origin in (Union, types.UnionType):
        words = [_type_words(each) for each in inner if each is not type(None)]
        return " or ".join([*dict.fromkeys(words), *(["none"] if type(None) in inner else [])])
    if origin in (tuple, list):
        kinds = dict.fromkeys(_type_words(each) for each in inner if each is not Ellipsis)
        length = "" if Ellipsis in inner or origin is list else f"{len(inner)} "
        return f"list of {length}{' or '.join(kinds)}s".replace("texts", "names")
    if origin is dict or annotation is dict:
        return "mapping"
    if any(True for _ in _sections_in(annotation)):
        return "section, below"
    # The model section is anything here and checked by the model tables.
    return "a [model](#models)" if annotation is Any else str(getattr(annotation, "__name__", ""))


def _shown(value: object, none: str = "none") -> str:
    """A default, as YAML has it."""
    if value is None:
        return none
    if isinstance(value, Section):
        return f"`{kind_of(type(value))}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{value}`" if str(value) else "empty"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: int = 0) -> list[str]:
    """A Markdown table; the last `numbers` columns are set to the right."""
    rules = ["---"] * (len(heads) - numbers) + ["---:"] * numbers
    clean = [[" ".join(cell.replace("|", "\\|").split()) for cell in row] for row in rows]
    return [f"| {' | '.join(cells)} |" for cells in (heads, rules, *clean)]


def fill_in(text: str) -> str:
    """A page's Markdown with what is made from the code in the place of the comments."""
    return _MARK.sub(lambda mark: PARTS_OF_PAGES[mark[1]](), text)


def _on_source_read(app: Any, docname: str, content: list[str]) -> None:
    content[0] = fill_in(content[0])
    if docname == app.config.root_doc:
        content[0] = content[0].replace("<!-- other pages -->", other_pages(Path(app.srcdir)))


def other_pages(docs: Path) -> str:
    """Names of pages that the first page does not name, for its last table of contents."""
    named = (docs / "index.md").read_text(encoding="utf-8")
    pages = sorted(path.stem for path in docs.glob("*.md") if path.stem != "index")
    return "\n".join(
        page for page in pages if not re.search(rf"^(.* <)?{page}>?$", named, re.MULTILINE)
    )


def setup(app: Any) -> dict[str, Any]:
    app.connect("source-read", _on_source_read)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
