"""Scores of frames beside the paper's."""

from __future__ import annotations

import statistics

from weathersvq.reproduce.results import Finished, by_experiment, paired_by_seed, paper_value
from weathersvq.reproduce.views.base import Part, Shown, figure_text, spread, table
from weathersvq.reproduce.views.errors import difference, label

# Our name of a score: the paper's, digits.
SCORES = {"mse": "MSE", "mae": "MAE", "ssim": "SSIM", "psnr": "PSNR", "lpips": "LPIPS"}


def score(run: Finished, name: str, who: str = "model") -> float | None:
    """A score of frames, averaged over leads; None where it was not computed."""
    by_lead = run.result["frames"].get(who, {}).get(name)
    return None if by_lead is None else statistics.fmean(by_lead)


def frames(shown: Shown) -> Part:
    """MSE and MAE summed over a frame, SSIM, PSNR and LPIPS, means over frames; range 0 to 1."""
    assert shown.study is not None
    study, groups = shown.study, by_experiment(shown.finished)
    units = {"psnr": " [dB]", "mse": " [a frame]", "mae": " [a frame]"}
    header = [*(list(study.axes) or ["model"]), "seeds"]
    header += [f"{title}{units.get(name, '')}" for name, title in SCORES.items()]
    header += [f"MSE beside {label(against)}" for against in study.against]
    header += [f"paper: {title}" for title in SCORES.values()]
    rows = []
    for key, members in groups.items():
        values = members[0].run.values
        row = [*(key or ("",)), str(len(members))]
        for name in SCORES:
            found = [value for each in members if (value := score(each, name)) is not None]
            row.append(spread(found) if found else "")
        for against in study.against:
            other = groups.get(tuple({**values, **against}.values()), [])
            sides = [
                {each.run.seed: score(each, "mse") or 0.0 for each in side}
                for side in (members, other)
            ]
            row.append("" if other in ([], members) else difference(paired_by_seed(*sides)))
        row += [figure_text(paper_value(study, values, title)) for title in SCORES.values()]
        rows.append(row)
    first = shown.finished[0]
    still = ["the last frame again", *[""] * (len(study.axes) - 1), ""]
    for name in SCORES:
        value = score(first, name, "persistence")
        still.append("" if value is None else f"{value:.4g}")
    rows.append([*still, *[""] * (len(header) - len(still))])
    return Part(table(header, rows))
