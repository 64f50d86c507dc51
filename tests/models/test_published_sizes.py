"""Parameters and multiply-accumulates of whole models beside the published figures."""

from __future__ import annotations

import pytest

from weathersvq.models.baselines.persistence import PersistenceConfig
from weathersvq.models.catalogue import Row, describe_shape, size_lists
from weathersvq.models.forecaster import Shape
from weathersvq.models.published import PublishedSize, benchmark_names, load_benchmark
from weathersvq.models.size import Size, measure
from weathersvq.models.translators import TRANSLATORS
from weathersvq.schema import kind_of

CASES = [
    (benchmark, case, name)
    for benchmark in benchmark_names()
    for case in load_benchmark(benchmark).cases
    for name, entry in load_benchmark(benchmark).models.items()
    if case in entry.published
]
# Ours, parameters and multiply-accumulates, where the published ones can't be met; the benchmark's
# list says why.
OURS: dict[tuple[str, str, str], tuple[int, int]] = {}


def row_of(benchmark: str, case: str, name: str) -> Row:
    listed = load_benchmark(benchmark)
    entry, shape = listed.models[name], listed.shape(case)
    size = measure(entry.model, shape)
    return Row(name, entry.title, entry.model, describe_shape(shape), size, entry.published[case])


@pytest.mark.parametrize(("benchmark", "case", "name"), CASES)
def test_size_is_the_published_one(benchmark: str, case: str, name: str) -> None:
    row = row_of(benchmark, case, name)
    parameters, macs = row.differences
    met = abs(parameters or 0) <= 0.01 and abs(macs or 0) <= 0.02
    assert bool(row.published.note) is not met, f"{row.size}, {row.differences}"
    if not met:
        assert (row.size.parameters, row.size.macs) == OURS[benchmark, case, name]


def test_pins_are_of_this_list() -> None:
    assert set(OURS) <= set(CASES)


def test_every_translator_has_a_published_size() -> None:
    models = load_benchmark("weatherbench_s").models.values()
    listed = {entry.model.model_dump()["translator"]["kind"] for entry in models
              if entry.model.model_dump()["kind"] == "simvp" and entry.published}  # fmt: skip
    assert listed == {kind_of(translator.Config) for translator in TRANSLATORS}


def test_count_by_hand() -> None:
    # 6 inputs to 2 outputs of 3 channels in 4 x 5 cells: each output cell sums 6 * 3 products.
    shape = Shape(6, 2, 3, 3, 4, 5)
    from weathersvq.models.baselines.autoregression import AutoregressionConfig

    products = 2 * 3 * 6 * 3
    assert measure(AutoregressionConfig(), shape) == Size(products + 2 * 3 * 20, products * 20)
    assert measure(PersistenceConfig(), shape) == Size(0, 0)


def test_differences_are_ours_over_the_published() -> None:
    published = PublishedSize(parameters_m=2, gmacs=4)
    row = Row("m", "M", PersistenceConfig(), "", Size(2_020_000, 3_000_000_000), published)
    assert row.differences == (pytest.approx(0.01), pytest.approx(-0.25))


def test_a_shape_of_ones_own_has_published_figures_only_where_it_is_the_same() -> None:
    listed = load_benchmark("weatherbench_s")
    same, other = (
        next(iter(size_lists("weatherbench_s", shape=shape))).rows[0].published
        for shape in (listed.shape("uv10"), Shape(4, 4, 1, 1, 8, 16))
    )
    assert same.gmacs == 7.02
    assert other == PublishedSize()
