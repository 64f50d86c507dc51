"""What can be checked of the images without an engine: how Dockerfiles are read, and what they name."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"

sys.path.insert(0, str(DOCKER))

import replay  # noqa: E402
from requirements import requirements  # noqa: E402

EXAMPLE = """\
# A comment.
FROM base:1 AS first
ARG NAME="a b"
ENV ONE=1 \\
    # a comment between
    TWO="$NAME/${ONE}"
FROM first as second
RUN one && \\
    two
USER 1000
WORKDIR /data
ENTRYPOINT ["run"]
CMD ["it"]
FROM other AS third
CMD ["no"]
"""


def test_instructions_are_joined_and_comments_dropped() -> None:
    read = replay.parse(EXAMPLE)
    assert read[2] == replay.Instruction("ENV", 'ONE=1 TWO="$NAME/${ONE}"', 4)
    assert [each.rest for each in read if each.word == "RUN"] == ["one && two"]


def test_a_stage_has_the_steps_of_those_below_it() -> None:
    base, steps = replay.steps_to("second", EXAMPLE)
    assert base == "base:1"
    assert [each.word for each in steps] == [
        "ARG", "ENV", "RUN", "USER", "WORKDIR", "ENTRYPOINT", "CMD"
    ]  # fmt: skip
    # Without a name the last stage is meant.
    assert replay.steps_to(None, EXAMPLE)[0] == "other"


def test_what_steps_leave_besides_files(tmp_path: Path) -> None:
    _, steps = replay.steps_to("second", EXAMPLE)
    image = replay.replay(steps, tmp_path, tmp_path, {}, dry=True)
    assert image.environment == {"ONE": "1", "TWO": "a b/"}
    assert (image.user, image.folder) == ("1000", "/data")
    assert [*image.entrypoint, *image.command] == ["run", "it"]
    given = replay.replay(steps, tmp_path, tmp_path, {"NAME": "c"}, dry=True)
    assert given.environment["TWO"] == "c/"


def test_an_unknown_instruction_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"line 2: ADD is not known"):
        replay.replay(replay.parse("FROM a\nADD b c")[1:], tmp_path, tmp_path, {}, dry=True)


@pytest.mark.parametrize(
    ("path", "out"),
    [
        ("weathersvq/cli/program.py", False),
        ("weathersvq/data/__pycache__/a.pyc", True),
        ("docker/requirements.py", False),
        ("docker/check.sh", True),
        ("runs/a.zarr/0", True),
        (".git/config", True),
    ],
)
def test_what_a_build_sees(path: str, out: bool) -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert replay.ignored(path, [line for line in lines if not line.startswith("#")]) is out


def test_copies_leave_out_what_is_ignored(tmp_path: Path) -> None:
    for name in ("package/a.py", "package/__pycache__/a.pyc", "secret"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    patterns = ["*", "!package", "**/__pycache__"]
    replay.copy(tmp_path, patterns, ["package"], tmp_path / "root")
    assert [p.name for p in (tmp_path / "root").rglob("*")] == ["a.py"]
    with pytest.raises(SystemExit, match="COPY secret: nothing there"):
        replay.copy(tmp_path, patterns, ["secret"], tmp_path / "root")


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
def test_images_run_as_nobody_special_and_copy_only_what_is_there(name: str) -> None:
    text = (DOCKER / name).read_text(encoding="utf-8")
    for stage in replay.stages(replay.parse(text)):
        base, steps = replay.steps_to(stage, text)
        # The Python that the project needs.
        assert base.startswith("python:3.11-slim")
        users = [each.rest for each in steps if each.word == "USER"]
        assert stage == "dependencies" or users[-1] == "1000"
        for each in steps:
            if each.word == "COPY":
                assert all((ROOT / source).exists() for source in each.rest.split()[:-1])


def test_the_forecast_is_the_default_command() -> None:
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    image = replay.replay(replay.steps_to(None, text)[1], ROOT, ROOT, {}, dry=True)
    assert [*image.entrypoint, *image.command][:2] == ["weathersvq", "forecast"]


def test_requirements_are_those_of_the_project_and_its_extras() -> None:
    project = {
        "name": "mine",
        "dependencies": ["a>=1", "b"],
        "optional-dependencies": {"x": ["c", "mine[y]"], "y": ["d", "a>=1"], "z": ["e"]},
    }
    assert requirements(project, ["x"]) == ["a>=1", "b", "c", "d"]
    with pytest.raises(SystemExit, match="no extra 'w'"):
        requirements(project, ["w"])


def test_extras_of_the_images_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name in ("Dockerfile", "Dockerfile.cuda"):
        steps = replay.parse((DOCKER / name).read_text(encoding="utf-8"))
        extras = next(each.rest for each in steps if each.rest.startswith("EXTRAS="))
        assert requirements(project, extras.partition("=")[2].strip('"').split())


def test_services_share_a_volume_and_name_stages_that_exist() -> None:
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    assert set(compose["services"]) == {"weathersvq", "scheduler", "worker", "jupyter"}
    known = replay.stages(replay.parse((DOCKER / "Dockerfile").read_text(encoding="utf-8")))
    for service in compose["services"].values():
        assert service["volumes"] == ["data:/data"]
        assert service["build"]["target"] in known
        assert set(service.get("depends_on", {})) <= set(compose["services"])
        # Ports are open to this machine alone.
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert set(compose["volumes"]) == {"data"}
