"""Does what a Dockerfile says in a folder that holds a root file system, without a container engine.

    python3 docker/replay.py docker/Dockerfile ROOT            # up to the last stage
    python3 docker/replay.py docker/Dockerfile ROOT --command  # its ENTRYPOINT and CMD, no network

Known are the instructions that the project's Dockerfiles use; any other is refused. Each RUN is a
shell in a chroot with the Dockerfile's environment, user and folder. Settings of the host that a build
gets from its engine (proxies, package indexes, certificates) are handed to RUN, never kept.

Only what Python ships is imported, so that this runs before anything is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

# What a build inherits from its host.
_HOST_SETTINGS = re.compile(
    r"PIP_.*|.*_proxy|.*_PROXY|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE"
)
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_NOTHING_TO_DO = {"EXPOSE", "VOLUME"}


@dataclass(frozen=True)
class Instruction:
    """One instruction, its lines joined: `RUN`, `pip install ...`, and the line it begins on."""

    word: str
    rest: str
    line: int


@dataclass
class Image:
    """What instructions leave besides files."""

    environment: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    user: str = "0"
    folder: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def expand(self, text: str) -> str:
        known = {**self.arguments, **self.environment}
        return _VARIABLE.sub(lambda match: known.get(match[1] or match[2], ""), text)


def parse(text: str) -> list[Instruction]:
    """The instructions of a Dockerfile, without comments."""
    found: list[Instruction] = []
    pending, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip().startswith("#") or (not line.strip() and not pending):
            continue
        start = start if pending else number
        pending += line
        if pending.endswith("\\"):
            pending = pending[:-1]
            continue
        word, _, rest = pending.strip().partition(" ")
        found.append(Instruction(word.upper(), " ".join(rest.split()), start))
        pending = ""
    return found


def stages(instructions: Sequence[Instruction]) -> dict[str, tuple[str, list[Instruction]]]:
    """The stages by name: what each is built on, and its instructions."""
    found: dict[str, tuple[str, list[Instruction]]] = {}
    for each in instructions:
        if each.word == "FROM":
            base, _, name = re.sub(" as ", " AS ", each.rest).partition(" AS ")
            found[name or str(len(found))] = (base, [])
        else:
            found[list(found)[-1]][1].append(each)
    return found


def steps_to(target: str | None, text: str) -> tuple[str, list[Instruction]]:
    """The outermost base image, and all instructions from there to a stage (the last if None)."""
    known = stages(parse(text))
    name, steps = target or list(known)[-1], list[Instruction]()
    while name in known:
        name, own = known[name]
        steps = [*own, *steps]
    return name, steps


def ignored(path: str, patterns: Sequence[str]) -> bool:
    """Whether a .dockerignore leaves a file out: the last pattern that matches it decides."""
    out = False
    parents = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
    for pattern in patterns:
        keep = pattern.startswith("!")
        body = re.escape(pattern.lstrip("!").strip("/"))
        body = body.replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(body, each) for each in parents):
            out = not keep
    return out


def copy(context: Path, patterns: Sequence[str], sources: Sequence[str], target: Path) -> None:
    """COPY: files, or what folders hold, from what .dockerignore leaves of the context."""
    for source in sources:
        path = context / source
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        kept = [p for p in files if not ignored(p.relative_to(context).as_posix(), patterns)]
        if not kept:
            raise SystemExit(
                f"COPY {source}: nothing there, or all of it left out by .dockerignore"
            )
        for file in kept:
            inner = file.relative_to(path) if path.is_dir() else Path(file.name)
            place = target / inner
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, place)


def shell_in(root: Path, image: Image, arguments: Sequence[str], *, build: bool) -> int:
    """Run a command in the root as the image's user; a build has the host's settings and network."""
    environment = {"HOME": "/root" if image.user == "0" else "/home/forecaster"}
    if build:
        environment |= {k: v for k, v in os.environ.items() if _HOST_SETTINGS.fullmatch(k)}
        environment |= image.arguments
    environment |= image.environment
    command = [
        "unshare", "--mount", "--pid", "--fork", *([] if build else ["--net"]),
        f"--mount-proc={root}/proc",
        "chroot", f"--userspec={image.user}:{image.user}", str(root),
        "/usr/bin/env", "--ignore-environment", *(f"{k}={v}" for k, v in environment.items()),
        "/bin/sh", "-c", 'cd "$0" && exec "$@"', image.folder, *arguments,
    ]  # fmt: skip
    return subprocess.run(command, check=False).returncode


def replay(
    steps: Sequence[Instruction], root: Path, context: Path, given: dict[str, str], *, dry: bool
) -> Image:
    """Do the steps; with `dry`, only find out what they leave besides files."""
    image = Image()
    ignore = context / ".dockerignore"
    lines = ignore.read_text(encoding="utf-8").splitlines() if ignore.exists() else []
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    for step in steps:
        if step.word not in _NOTHING_TO_DO and not dry:
            print(f"--- line {step.line}: {step.word} {step.rest}", flush=True)
        if step.word == "ARG":
            name, _, default = step.rest.partition("=")
            image.arguments[name] = given.get(name, " ".join(shlex.split(default)))
        elif step.word == "ENV":
            # Variables have the values from before the instruction.
            pairs = [pair.split("=", 1) for pair in shlex.split(step.rest)]
            image.environment |= {name: image.expand(value) for name, value in pairs}
        elif step.word == "USER":
            image.user = step.rest
        elif step.word == "WORKDIR":
            image.folder = step.rest
            if not dry:
                (root / step.rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif step.word == "ENTRYPOINT":
            image = replace(image, entrypoint=json.loads(step.rest), command=[])
        elif step.word == "CMD":
            image.command = json.loads(step.rest)
        elif step.word == "COPY":
            *sources, target = step.rest.split()
            place = root / str(Path(image.folder) / target).lstrip("/")
            if not dry:
                copy(context, patterns, sources, place)
        elif step.word == "RUN":
            if not dry and shell_in(root, image, ["/bin/sh", "-c", step.rest], build=True):
                raise SystemExit(f"line {step.line} failed: RUN {step.rest}")
        elif step.word not in _NOTHING_TO_DO:
            raise SystemExit(f"line {step.line}: {step.word} is not known to this script")
    return image


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dockerfile", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("--target")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--command", action="store_true")
    chosen = parser.parse_args(arguments)
    base, steps = steps_to(chosen.target, chosen.dockerfile.read_text(encoding="utf-8"))
    context = chosen.dockerfile.resolve().parents[1]
    given = dict(pair.split("=", 1) for pair in chosen.build_arg)
    root = chosen.root.resolve()
    if not chosen.command:
        print(f"--- {chosen.dockerfile}, on {base}", flush=True)
    image = replay(steps, root, context, given, dry=chosen.command)
    if not chosen.command:
        return 0
    words = [*image.entrypoint, *image.command]
    print(
        f"--- as user {image.user}, in {image.folder}, no network: {shlex.join(words)}", flush=True
    )
    return shell_in(root, image, words, build=False)


if __name__ == "__main__":
    sys.exit(main())
