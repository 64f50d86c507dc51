"""The reference pages are made from the code: whatever verb, option or key there is, is there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import typer
from pydantic import Field

from weathersvq.cli import app
from weathersvq.config import DataConfig, Experiment, TrainConfig
from weathersvq.models.catalogue import PARTS
from weathersvq.schema import Section, kind_of

DOCS = Path(__file__).parents[2] / "docs"

sys.path.insert(0, str(DOCS / "extensions"))

import reference  # noqa: E402


def sections(text: str, level: int) -> dict[str, str]:
    """Headings of a level, each with what stands below it."""
    parts = text.split(f"\n{'#' * level} ")[1:]
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}


def test_every_verb_has_all_its_options() -> None:
    told = sections(reference.commands(), 2)
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert list(told) == [f"weathersvq {name}" for name in verbs]
    for name, verb in verbs.items():
        text = told[f"weathersvq {name}"]
        plain = text.replace("`", "")
        assert verb.help in plain
        for option in verb.params:
            if option.name != "help":
                assert all(f"`{each}`" in text for each in option.opts if each.startswith("-"))
                assert option.help.replace("`", "") in plain


def test_an_option_is_told_with_what_it_takes_and_its_default() -> None:
    text = reference.commands()
    assert "| `--init` | text, repeatable | required |" in text
    assert "| `--devices` | whole number | `1` | Processes a machine, one a GPU. |" in text
    assert "| `--maps`, `--no-maps` |  | on |" in text
    assert "Replace what `--out` names." in text
    assert "    weathersvq train CONFIG [OPTIONS]\n" in text
    assert "    weathersvq models [NAME] [OPTIONS]\n" in text


def test_every_key_is_told() -> None:
    text = reference.config_keys()
    top = sections("\n" + text, 2)
    for heading, section in (
        ("At the top", Experiment),
        ("data, `kind: weather`", DataConfig),
        ("train", TrainConfig),
    ):
        for key, field in section.model_fields.items():
            if (section, key) != (DataConfig, "kind"):
                assert f"| `{key}` |" in top[heading]
                assert (field.description or "") in top[heading]
    for role, classes in PARTS.items():
        told = sections(top[f"{role}s"], 3)
        assert list(told) == [f"{kind_of(each.Config)} ({role})" for each in classes]


def test_keys_of_sections_inside_have_dotted_names() -> None:
    convlstm = sections(reference.config_keys(), 3)["convlstm (model)"]
    assert "| `sampling.mode` | `scheduled` or `reverse` or `never` | `scheduled` |" in convlstm


class Example(Section):
    """Keys of all kinds."""

    count: int = Field(2, ge=1, le=1_048_576)
    share: float | None = Field(None, gt=0, lt=1)
    names: tuple[str, ...] = ()
    mode: Literal["one", "two"] = "one"


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("count", "whole number, at least 1, at most 1,048,576"),
        ("share", "number or none, above 0, below 1"),
        ("names", "list of names"),
        ("mode", "`one` or `two`"),
    ],
)
def test_types_in_words(key: str, words: str) -> None:
    assert reference.key_type(Example.model_fields[key]) == words


def test_the_first_page_leaves_no_page_out(tmp_path: Path) -> None:
    (tmp_path / "index.md").write_text("```{toctree}\ntraining\nLoading <loading>\n```\n")
    for name in ("training", "loading", "evaluation", "benchmarks"):
        (tmp_path / f"{name}.md").write_text(f"# {name}\n")
    assert reference.other_pages(tmp_path) == "benchmarks\nevaluation"


def marks() -> Iterator[tuple[str, str]]:
    for page in sorted(DOCS.glob("*.md")):
        for mark in reference._MARK.findall(page.read_text(encoding="utf-8")):
            yield page.name, mark


def test_marks_on_pages_are_known() -> None:
    found = dict(marks())
    assert set(found) == {"cli.md", "config.md", "zoo.md"}
    assert {mark for _, mark in marks()} == set(reference.PARTS_OF_PAGES)


def test_marks_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(reference.PARTS_OF_PAGES, "commands", lambda: "| a |")
    assert reference.fill_in("x\n<!-- made from the code: commands -->\ny") == "x\n| a |\ny"
