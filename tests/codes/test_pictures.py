"""Pictures of what the codebook does: the right numbers at the right place, nothing on top."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from matplotlib.text import Text

from weathersvq.codes.covering import codes_needed, errors_by_size
from weathersvq.codes.measures import Distribution, Embedding, Latents, distribution_of
from weathersvq.codes.pictures import (
    BLUE,
    ORANGE,
    draw_covering,
    draw_densities,
    draw_embeddings,
    draw_latent_maps,
    draw_weights,
)
from weathersvq.errors import InputError


def written(figure: Figure) -> list[Text]:
    """All that is to be read."""
    FigureCanvasAgg(figure).draw()
    # Numbers of ticks beyond the end of their axis are there but never drawn.
    beyond = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not low <= tick.get_loc() <= high:
                beyond |= {tick.label1, tick.label2}
    return [
        text
        for text in figure.findobj(Text)
        if text.get_text().strip() and text.get_visible() and text not in beyond
    ]


def assert_legible(figure: Figure) -> None:
    """Nothing reaches over the figure's edge, no two texts lie on each other."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in written(figure)]
    width, height = figure.canvas.get_width_height()
    for name, box in boxes:
        assert box.x0 >= 0, name
        assert box.y0 >= 0, name
        assert box.x1 <= width, name
        assert box.y1 <= height, name
    for (first, one), (second, other) in combinations(boxes, 2):
        assert not one.padded(-0.5).overlaps(other.padded(-0.5)), f"{first!r} and {second!r}"


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in written(figure)]


def draw_sample(seed: int, heavy: bool = False) -> Distribution:
    generator = np.random.default_rng(seed)
    values = generator.standard_t(5, 20_000) if heavy else generator.uniform(size=20_000)
    return distribution_of(values.astype(np.float32))


NAMES = ("SVQ, learnable", "SVQ, frozen", "VQ")


@pytest.mark.parametrize("count", [1, 3])
def test_embeddings_show_every_point_of_every_model(count: int) -> None:
    generator = np.random.default_rng(0)
    models = {
        name: Embedding(
            generator.normal(size=(40 + number, 2)).astype(np.float32),
            generator.normal(size=(70 + number, 2)).astype(np.float32),
        )
        for number, name in enumerate(NAMES[:count])
    }
    figure = draw_embeddings(models)
    assert_legible(figure)
    assert len(figure.axes) == count
    for axes, (name, embedding) in zip(figure.axes, models.items(), strict=True):
        assert axes.get_title() == name
        vectors, codes = axes.collections
        np.testing.assert_allclose(vectors.get_offsets(), embedding.quantized)
        np.testing.assert_allclose(codes.get_offsets(), embedding.codes)
        assert vectors.get_facecolor()[0, :3] == pytest.approx(to_rgba(BLUE)[:3])
        assert codes.get_edgecolor()[0, :3] == pytest.approx(to_rgba(ORANGE)[:3])
        number = len(embedding.codes)
        assert axes.get_xlabel() == f"{number} codes, {number + 30} vectors"
    assert {"code", "quantized vector"} <= set(texts(figure))


@pytest.mark.parametrize("count", [1, 3])
def test_weights_stand_beside_the_codebook_with_their_kurtosis(count: int) -> None:
    models = {
        name: (draw_sample(number, heavy=True), draw_sample(number))
        for number, name in enumerate(NAMES[:count])
    }
    figure = draw_weights(models)
    assert_legible(figure)
    for axes, (weights, codebook) in zip(figure.axes, models.values(), strict=True):
        patches = [patch for patch in axes.patches if isinstance(patch, StepPatch)]
        drawn = {patch.get_label(): patch.get_data() for patch in patches}
        (weights_label,) = [label for label in drawn if label.startswith("weights W")]
        (codebook_label,) = [label for label in drawn if label.startswith("codebook")]
        # Of Student's t with five degrees of freedom, 0.4 % lie beyond five deviations (its own
        # deviation is sqrt(5 / 3)); a uniform distribution ends at sqrt(3).
        assert weights_label.startswith(f"weights W: {weights.kurtosis:.2f} (0.")
        assert weights_label.endswith("% not shown)")
        assert codebook_label == f"codebook: {codebook.kurtosis:.2f}"
        np.testing.assert_array_equal(drawn[weights_label].values, weights.density)
        np.testing.assert_array_equal(drawn[codebook_label].values, codebook.density)
        assert {weights_label, codebook_label} <= set(texts(figure))
    # Models are compared on one scale.
    assert len({axes.get_ylim() for axes in figure.axes}) == 1


def test_what_is_not_shown_is_counted() -> None:
    edges = np.array([-8, -5, 0, 5, 8.0])
    # Shares 0.03, 0.45, 0.45, 0.06 in the bins, 0.01 outside: 10 % beyond five deviations.
    density = np.array([0.01, 0.09, 0.09, 0.02])
    wide = Distribution(100, 0.0, 1.0, 1.25, edges, density, 0.01)
    found = texts(draw_weights({"a": (wide, draw_sample(0))}))
    assert "weights W: 1.25 (10.0% not shown)" in found


def test_densities_before_and_after() -> None:
    before, after = draw_sample(0), draw_sample(1, heavy=True)
    figure = draw_densities({"one": (before, after), "two": (after, before)})
    assert_legible(figure)
    found = texts(figure)
    assert f"before the quantizer: {before.kurtosis:.2f}" in found
    assert f"after: {before.kurtosis:.2f}" in found
    assert "standard deviations from the mean" in found


def make_latents(height: int = 2, width: int = 3) -> Latents:
    generator = np.random.default_rng(0)
    before = generator.normal(size=(2, 4, 5, height, width)).astype(np.float32)
    return Latents(before, before[:, :, ::-1] * 7 + 3)


def test_latent_maps_hold_what_they_say() -> None:
    # One window, two steps, two channels, one row, two columns. Channel means 2 and 10; what is
    # left is -2, 2, 0, 0 and 1, -1, 1, -1: squares sum to 12 over 8, deviation sqrt(1.5).
    values = np.array([[[[[0, 4]], [[11, 9]]], [[[2, 2]], [[11, 9]]]]], np.float32)
    figure = draw_latent_maps(Latents(values, values), first_row="top", step=0, channels=[1, 0])
    assert_legible(figure)
    unit = 1.5**-0.5
    maps = [axes for axes in figure.axes if axes.images]
    # Both rows: mean of channels, channel 1, channel 0.
    expected = [[-0.5, 0.5], [1, -1], [-2, 2]] * 2
    for axes, row in zip(maps, expected, strict=True):
        np.testing.assert_allclose(axes.images[0].get_array(), [np.multiply(row, unit)], rtol=1e-6)
    assert [axes.get_title() for axes in maps[:3]] == ["mean of channels", "channel 1", "channel 0"]
    assert [axes.get_ylabel() for axes in maps[::3]] == ["before", "after"]
    # Channels share their colours on both sides, around zero; the mean has its own.
    limits = [axes.images[0].get_clim() for axes in maps]
    assert limits[1] == limits[2] == limits[4] == limits[5] != limits[0] == limits[3]
    for low, high in limits:
        assert low == -high


def test_scales_and_offsets_do_not_show() -> None:
    latents = make_latents()
    figure = draw_latent_maps(latents, first_row="top", channels=[0, 4])
    maps = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    # Channels in the other order, times 7, plus 3: the means agree and the channels change places.
    np.testing.assert_allclose(maps[0], maps[3], atol=1e-5)
    np.testing.assert_allclose(maps[1], maps[5], atol=1e-5)
    np.testing.assert_allclose(maps[2], maps[4], atol=1e-5)


@pytest.mark.parametrize(("first_row", "origin"), [("bottom", "lower"), ("top", "upper")])
@pytest.mark.parametrize("size", [(16, 32), (16, 16), (32, 8)])
def test_latent_maps_of_any_shape_are_the_right_way_up(
    first_row: str, origin: str, size: tuple[int, int]
) -> None:
    figure = draw_latent_maps(make_latents(*size), first_row=first_row)  # type: ignore[arg-type]
    assert_legible(figure)
    images = [axes.images[0] for axes in figure.axes if axes.images]
    assert len(images) == 2 * (1 + 3)
    assert {image.origin for image in images} == {origin}


def test_the_channels_that_vary_most_are_shown() -> None:
    latents = make_latents()
    latents.before[:, :, 3] *= 50
    latents.after[:, :, 0] *= 50
    figure = draw_latent_maps(latents, first_row="bottom")
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    assert set(titles[1:3]) == {"channel 3", "channel 0"}


def test_what_there_is_not_cannot_be_drawn() -> None:
    for draw in (draw_embeddings, draw_weights, draw_densities):
        with pytest.raises(InputError, match="no model to draw"):
            draw({})
    for wrong in ({"window": 2}, {"step": 4}, {"channels": [0, 5]}):
        (name,) = wrong
        message = f"{name.rstrip('s')} . is not among the ., 0 to ."
        with pytest.raises(InputError, match=message):
            draw_latent_maps(make_latents(), first_row="top", **wrong)


def test_covering_shows_every_row() -> None:
    needed = codes_needed([2, 4, 6], vectors=100, most_nearest=200)
    errors = errors_by_size((2, 4, 8, 16), sizes=(4, 16), vectors=100)
    figure = draw_covering(needed, errors)
    assert_legible(figure)
    growth, nearest, sparse = figure.axes
    lines = {line.get_label(): line.get_xydata() for line in growth.lines}
    (found,) = [data for label, data in lines.items() if label == "nearest code"]
    # Six dimensions need more than 200 codes: no point there.
    expected = [(r.dimension, r.codes) for r in needed if r.method == "nearest" and r.codes]
    np.testing.assert_array_equal(found, expected)
    assert len(expected) == 2
    (bound,) = [data for label, data in lines.items() if "at least 1 / δ" in label]
    np.testing.assert_array_equal(bound, [(2, 4), (4, 16), (6, 64)])
    (bound,) = [data for label, data in lines.items() if "(4 d / δ)" in label]
    np.testing.assert_allclose(bound, [(2, 16**3), (4, 32**3), (6, 48**3)])
    for axes, method in ((nearest, "nearest"), (sparse, "sparse")):
        for line in axes.lines[:4]:
            dimension = int(line.get_label().removeprefix("d = "))
            of = [r for r in errors if (r.dimension, r.method) == (dimension, method)]
            np.testing.assert_allclose(line.get_xydata(), [(r.codes, r.error) for r in of])
    assert nearest.get_ylim() == sparse.get_ylim()


def test_covering_of_several_distances_is_refused() -> None:
    needed = [*codes_needed([2], vectors=100), *codes_needed([2], delta=0.4, vectors=100)]
    errors = errors_by_size((2,), sizes=(4,), vectors=100)
    for rows, more in ((needed, errors), ([], errors), (needed[:1], [])):
        with pytest.raises(InputError, match="give rows of codes_needed for one delta"):
            draw_covering(rows, more)
