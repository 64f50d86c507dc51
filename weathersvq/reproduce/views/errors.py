"""Errors of the runs beside the paper's, with paired intervals over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from weathersvq.reproduce.results import (
    CONFIDENCE,
    Finished,
    Paired,
    by_experiment,
    paired_by_seed,
    paper_value,
)
from weathersvq.reproduce.tables import StudyConfig
from weathersvq.reproduce.views.base import Part, Shown, figure_text, label, spread, table


def errors(shown: Shown) -> Part:
    """MSE and MAE in physical units; one block a variable where the paper has one row for each."""
    assert shown.study is not None
    part = Part()
    study, first = shown.study, shown.finished[0]
    several = study.paper is not None and not study.paper.variable
    for variable in first.variables if several else (None,):
        if variable is not None:
            part.lines += [f"### {variable}", ""]
        part.lines += _table(study, shown.finished, variable)
        part.lines += findings(study, shown.finished, variable, shown.table.differs)
    return part


def comparison(
    study: StudyConfig,
    groups: Mapping[tuple[str, ...], list[Finished]],
    members: Sequence[Finished],
    against: Mapping[str, str],
    variable: str | None,
) -> Paired | None:
    """MSE beside that of the experiment that has `against` for some of its values.

    Returns:
        None where there is no such experiment, or where it was compared the other way round.
    """
    values = members[0].run.values
    other = {**values, **against}
    key = tuple(other.values())
    earlier = study.against[: study.against.index(dict(against))]
    if other == dict(values) or key not in groups:
        return None
    if any(each.items() <= values.items() for each in earlier):
        return None
    return paired_by_seed(
        {each.run.seed: each.error("mse", variable) for each in members},
        {each.run.seed: each.error("mse", variable) for each in groups[key]},
    )


def _table(study: StudyConfig, finished: Sequence[Finished], variable: str | None) -> list[str]:
    groups = by_experiment(finished)
    first = finished[0]
    places = [
        n for n, channel in enumerate(first.result["channels"])
        if variable in (None, channel.split("@")[0])
    ]  # fmt: skip
    units = dict.fromkeys(first.result["units"][place] for place in places)
    unit = "units mixed" if len(units) > 1 else next(iter(units))
    squared = unit if unit == "1" else f"({unit})²" if " " in unit else f"{unit}²"
    axes = list(study.axes) or ["model"]
    header = [*axes, "seeds", f"MSE [{squared}]", f"MAE [{unit}]"]
    for against in study.against:
        name = label(against)
        header += [f"MSE beside {name}", f"paper: MSE beside {name}"]
    header += ["paper: MSE", "paper: MAE"]
    rows = []
    for key, members in groups.items():
        values = members[0].run.values
        row = [
            *(key or ("",)),
            str(len(members)),
            spread([each.error("mse", variable) for each in members]),
            spread([each.error("mae", variable) for each in members]),
        ]
        for against in study.against:
            found = comparison(study, groups, members, against, variable)
            paper = paper_difference(study, values, against, variable)
            row += [difference(found), "" if paper is None else f"{paper:+.1%}"]
        row += [
            figure_text(paper_value(study, values, metric, variable)) for metric in ("MSE", "MAE")
        ]
        rows.append(row)
    still = [f"{first.error(f'persistence_{name}', variable):.4g}" for name in ("mse", "mae")]
    rows.append(
        ["persistence", *[""] * (len(axes) - 1), "", *still, *[""] * (len(header) - len(axes) - 3)]
    )
    return table(header, rows)


def difference(found: Paired | None) -> str:
    """A relative difference with its interval, in a cell."""
    if found is None:
        return ""
    if found.seeds == 1:
        return f"{found.mean:+.1%} (one seed)"
    return f"{found.mean:+.1%} ({found.low:+.1%} to {found.high:+.1%}): {found.verdict}"


def paper_difference(
    study: StudyConfig, values: Mapping[str, str], against: Mapping[str, str], variable: str | None
) -> float | None:
    """The paper's own relative difference of MSE between two experiments."""
    other = {**values, **against}
    if other == dict(values):
        return None
    own, reference = (paper_value(study, each, "MSE", variable) for each in (values, other))
    return None if own is None or reference is None else own / reference - 1


def findings(
    study: StudyConfig, finished: Sequence[Finished], variable: str | None, differs: str
) -> list[str]:
    """One paragraph: what holds, what does not, what these runs can't tell."""
    groups = by_experiment(finished)
    found: dict[str, list[str]] = {}
    for against in study.against:
        for members in groups.values():
            values = members[0].run.values
            own = comparison(study, groups, members, against, variable)
            if own is None:
                continue
            paper = paper_difference(study, values, against, variable)
            name = f"{label(values)} beside {label(against)} ({own.mean:+.1%})"
            found.setdefault(_judged(own, paper), []).append(name)
    sentences = [
        f"{title}: {'; '.join(found[kind])}." for kind, title in JUDGEMENTS.items() if kind in found
    ]
    if not sentences:
        return []
    if differs:
        sentences.append(f"What can't be compared: {differs}")
    return [" ".join(sentences), ""]


JUDGEMENTS = {
    "holds": f"Holds as in the paper, the {CONFIDENCE:.0%} interval leaving out zero",
    "opposite": f"Does not hold, the {CONFIDENCE:.0%} interval leaving out zero the other way",
    "better": "Lower MSE, on which the paper has no figure",
    "worse": "Higher MSE, on which the paper has no figure",
    "open": "Not decided by these seeds",
    "same direction": "One seed, which shows no more than a direction: as in the paper",
    "other direction": "One seed, against the paper's direction",
    "direction": "One seed, without a figure of the paper",
}


def _judged(own: Paired, paper: float | None) -> str:
    if own.verdict == "one seed":
        if not paper:
            return "direction"
        return "same direction" if (own.mean > 0) == (paper > 0) else "other direction"
    if own.verdict == "no difference shown":
        return "open"
    if not paper:
        return "better" if own.mean < 0 else "worse"
    return "holds" if (own.mean > 0) == (paper > 0) else "opposite"
