"""Which clips are for training, validation and test: whole groups of them, never single windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from numpy.typing import NDArray

from weathersvq.data.frames.base import Clip, Frames, Split
from weathersvq.data.frames.names import natural_order
from weathersvq.errors import InputError

# What goes to a split: a share of all frames, or clips by patterns of their names.
Part = float | Sequence[str]

VALIDATION_SHARE = 0.1


def check_share(name: str, share: float) -> None:
    """Refuse what is no share.

    Raises:
        InputError: below 0 or above 1.
    """
    if not 0 <= share <= 1:
        raise InputError(f"{name} is {share:g}; expected a share from 0 to 1")


def last_groups(clips: Sequence[Clip], share: float) -> tuple[str, ...]:
    """The last groups, in natural order, that together have at least a share of the frames.

    Returns:
        At least one group if the share is above 0, in natural order.
    """
    total = sum(clip.length for clip in clips)
    taken: list[str] = []
    frames = 0
    for group in sorted({_group(clip) for clip in clips}, key=natural_order, reverse=True):
        if frames >= share * total:
            break
        taken.append(group)
        frames += sum(clip.length for clip in clips if _group(clip) == group)
    return tuple(reversed(taken))


def spread_groups(clips: Sequence[Clip], share: float) -> tuple[str, ...]:
    """As few groups, evenly spread over their natural order, as have a share of the frames.

    For groups whose order means something that validation should see all of, such as drives that
    are sorted by the kind of road.

    Returns:
        At least one group if the share is above 0, in natural order.
    """
    frames: dict[str, int] = {}
    for clip in clips:
        frames[_group(clip)] = frames.get(_group(clip), 0) + clip.length
    groups = sorted(frames, key=natural_order)
    wanted = share * sum(frames.values())
    taken: list[str] = []
    while share > 0 and (not taken or sum(frames[g] for g in taken) < wanted):
        count = len(taken) + 1
        taken = [groups[(2 * i + 1) * len(groups) // (2 * count)] for i in range(count)]
    return tuple(taken)


def with_validation(
    clips: Sequence[Clip], share: float, what: str, source: str, *, spread: bool = False
) -> tuple[tuple[Clip, ...], str]:
    """Give whole groups of the training clips to validation: the last ones, or spread over all.

    The published loaders of the video benchmarks choose the best epoch on the test set; this is
    what is done instead.

    Args:
        clips: of a benchmark, training and test.
        share: of the training frames, at least; 0 for no validation.
        what: a group's name in messages, such as `person`.
        source: for messages.
        spread: see `spread_groups`.

    Returns:
        The clips, and what was done, in words.

    Raises:
        InputError: a share that is none, or that leaves nothing to train on.
    """
    check_share("validation", share)
    training = [clip for clip in clips if clip.split == "train"]
    if share == 0 or not training:
        return tuple(clips), "no validation split"
    taken = (spread_groups if spread else last_groups)(training, share)
    groups = {_group(clip) for clip in training}
    if len(taken) == len(groups):
        raise InputError(
            f"validation takes {share:g} of the training frames by {what}, but {source} has "
            f"{len(groups)} {what}{'s' if len(groups) > 1 else ''} to train on, of which none "
            "would be left; give a smaller share, or 0 for no validation"
        )
    chosen = set(taken)
    result = tuple(
        replace(clip, split="validation")
        if clip.split == "train" and _group(clip) in chosen
        else clip
        for clip in clips
    )
    return result, f"validation: of the training set by {what}, {', '.join(taken)}"


def _group(clip: Clip) -> str:
    return clip.group or clip.name


@dataclass(frozen=True, eq=False, kw_only=True)
class Cut(Frames):
    """Other frames with their clips cut into shorter ones.

    Attributes:
        whole: the other frames.
        parts: (clip of `whole`, first frame in it) of each clip.
    """

    whole: Frames
    parts: tuple[tuple[int, int], ...]

    def read_clip(self, clip: int, frames: Sequence[int]) -> NDArray[Any]:
        number, first = self.parts[clip]
        return self.whole.read_clip(number, [first + frame for frame in frames])


@dataclass(frozen=True, eq=False, kw_only=True)
class Joined(Frames):
    """Several frames of one kind and size, one after the other.

    Attributes:
        parts: of which the clips are, in order.
    """

    parts: tuple[Frames, ...]

    def read_clip(self, clip: int, frames: Sequence[int]) -> NDArray[Any]:
        for part in self.parts:
            if clip < len(part.clips):
                return part.read_clip(clip, frames)
            clip -= len(part.clips)
        raise IndexError(f"clip {clip} is beyond the last")


def with_splits(frames: Frames, validation: Part, test: Part) -> Frames:
    """Share clips out among the splits: the last ones to test, those before them to validation.

    Where there are fewer groups of clips than splits, each clip is cut in time instead: first
    training, then validation, then test.

    Args:
        frames: all of whose clips are for training.
        validation, test: a share of the frames, or patterns of clips' names such as `test/*`.

    Raises:
        InputError: shares beyond 0 to 1, or a pattern that fits no clip.
    """
    for name, part in (("validation", validation), ("test", test)):
        if isinstance(part, float | int):
            check_share(name, part)
    shares = [part for part in (validation, test) if isinstance(part, float | int)]
    if sum(shares) > 1:
        raise InputError(
            f"validation and test take {sum(shares):g} of the frames together; expected at most 1"
        )
    if len(shares) == 2:
        groups = {_group(clip) for clip in frames.clips}
        wanted = sum(share > 0 for share in (1 - sum(shares), *shares))
        if len(groups) < wanted:
            return _cut_in_time(frames, *shares)
    splits: dict[str, Split] = {}
    notes = []
    parts: tuple[tuple[Split, Part], ...] = (("test", test), ("validation", validation))
    for split, part in sorted(parts, key=lambda pair: isinstance(pair[1], float | int)):
        left = [clip for clip in frames.clips if clip.name not in splits]
        if isinstance(part, float | int):
            # A share is of all frames, also where others have been given away by name.
            total, rest = len(frames), max(1, sum(clip.length for clip in left))
            taken = last_groups(left, min(1.0, part * total / rest)) if left else ()
            names = [clip.name for clip in left if _group(clip) in taken]
        else:
            names = _by_pattern(left, split, part, frames.source)
        splits.update(dict.fromkeys(names, split))
        if names:
            notes.append(f"{split}: {len(names)} of {len(frames.clips)} clips")
    clips = tuple(replace(clip, split=splits.get(clip.name, "train")) for clip in frames.clips)
    return replace(frames, clips=clips, comment=_joined(frames.comment, "; ".join(notes)))


def _by_pattern(clips: Sequence[Clip], split: str, patterns: Sequence[str], source: str) -> list:
    names: list[str] = []
    for pattern in patterns:
        fitting = [clip.name for clip in clips if fnmatchcase(clip.name, pattern)]
        if not fitting:
            known = ", ".join(clip.name for clip in clips[:5])
            raise InputError(
                f"{split}: no clip of {source} is called {pattern!r}; there are {known}"
                f"{' ...' if len(clips) > 5 else ''}"
            )
        names += fitting
    return names


def _cut_in_time(frames: Frames, validation: float, test: float) -> Frames:
    clips: list[Clip] = []
    parts: list[tuple[int, int]] = []
    for number, clip in enumerate(frames.clips):
        ends = [
            round(clip.length * share) for share in (1 - validation - test, 1 - test, 1.0)
        ]  # fmt: skip
        first = 0
        splits: tuple[Split, ...] = ("train", "validation", "test")
        for split, end in zip(splits, ends, strict=True):
            if end > first:
                name = f"{clip.name}[{first}:{end}]"
                group = f"{clip.group or clip.name} {split}"
                clips.append(Clip(name, end - first, split, group, clip.stride))
                parts.append((number, first))
            first = end
    return Cut(
        frames.source,
        tuple(clips),
        frames.channels,
        frames.size,
        frames.step,
        _joined(frames.comment, "each clip cut in time into train, validation and test"),
        whole=frames,
        parts=tuple(parts),
    )


def _joined(*texts: str) -> str:
    return "; ".join(filter(None, texts))
