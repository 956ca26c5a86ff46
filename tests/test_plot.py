"""Pictures are checked by what is drawn: limits, rendered colours, places, and messages."""

import gc
import os
import re
import subprocess
import sys
import textwrap
import weakref
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxplain
from jaxplain import plot

agg = pytest.importorskip("matplotlib.backends.backend_agg")

TOKENS = ["[CLS]", "un", "##believ", "##ably", "good", "film", "[SEP]"]


def rendered(figure):
    """What a reader sees, RGB in [0, 1]."""
    canvas = agg.FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3] / 255


def seen(figure, axes, share=0.8):
    """The middle of one pair of axes as rendered."""
    pixels = rendered(figure)
    box = axes.get_window_extent()
    x, y = box.width * (1 - share) / 2, box.height * (1 - share) / 2
    rows = slice(round(len(pixels) - box.y1 + y), round(len(pixels) - box.y0 - y))
    return pixels[rows, round(box.x0 + x) : round(box.x1 - x)]


def boxes(figure):
    """Where all visible text stands, in dots."""
    canvas = agg.FigureCanvasAgg(figure)
    canvas.draw()
    texts = figure.findobj(lambda artist: hasattr(artist, "get_fontsize"))
    every = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    hidden = [
        tick.label1
        for axis in every
        for tick in axis.get_major_ticks()
        # matplotlib keeps ticks beyond the limits without drawing them
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    ]
    shown = [t for t in texts if t.get_text().strip() and t.get_visible() and t not in hidden]
    return [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in shown]


def assert_well_laid_out(figure):
    """No two pieces of text overlap, and all of it is on the page."""
    placed = boxes(figure)
    width, height = figure.get_size_inches() * figure.dpi
    for i, (string, box) in enumerate(placed):
        inside = box.x0 > -1 and box.y0 > -1 and box.x1 < width + 1 and box.y1 < height + 1
        assert inside, f"{string!r} is cut off"
        for other, there in placed[i + 1 :]:
            overlap = np.minimum(box.max, there.max) - np.maximum(box.min, there.min)
            assert overlap.min() < 2, f"{string!r} overlaps {other!r}"


def pictures(key=0, shape=(12, 16)):
    return jnp.asarray(np.random.default_rng(key).standard_normal(shape))


# ---------------------------------------------------------------------------------- normalize


def test_normalize_divides_by_the_percentile_and_clips():
    values = np.arange(-50.0, 51.0).reshape(1, 101)
    scale = np.percentile(np.abs(values), 90)
    np.testing.assert_array_equal(
        plot.normalize(values, percentile=90), np.clip(values / scale, -1, 1)
    )


def test_normalize_keeps_zero_and_is_odd():
    values = np.asarray(pictures())
    np.testing.assert_array_equal(plot.normalize(-values), -plot.normalize(values))
    assert plot.normalize(np.array([[0.0, 3.0], [9.0, -1.0]]))[0, 0] == 0


def test_one_outlier_does_not_hide_the_rest():
    values = np.asarray(pictures(shape=(40, 40)), np.float64)
    spiked = values.copy()
    spiked[0, 0] = 1e6
    np.testing.assert_allclose(plot.normalize(spiked)[1:], plot.normalize(values)[1:], atol=0.1)


@pytest.mark.parametrize("percentile", [1, 99.0, 100])
def test_normalize_of_zero_is_zero(percentile):
    np.testing.assert_array_equal(plot.normalize(np.zeros((3, 4)), percentile), np.zeros((3, 4)))


def test_a_sparse_attribution_stays_visible():
    values = np.zeros((30, 30))
    values[3, 4], values[5, 6] = 2.0, -1.0
    picture = plot.normalize(values, percentile=50)
    assert picture[3, 4] == 1 and picture[5, 6] < -0.6 and np.count_nonzero(picture) == 2


@pytest.mark.parametrize("factor", [1e-300, 1e-30, 1e30, 1e300])
@pytest.mark.parametrize("channels", ["sum", "norm"])
def test_normalize_does_not_depend_on_units(factor, channels):
    values = np.asarray(pictures(shape=(5, 6, 3)), np.float64)
    np.testing.assert_allclose(
        plot.normalize(values * factor, channels=channels),
        plot.normalize(values, channels=channels),
        rtol=1e-12,
    )


def test_an_outlier_over_a_tiny_scale_does_not_overflow():
    values = np.full((20, 20), 1e-310)
    values[0, 0] = 1e300
    assert plot.normalize(values).max() == 1


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ("sum", lambda a: a.sum(-1)),
        ("mean", lambda a: a.mean(-1)),
        ("norm", lambda a: np.sqrt((a**2).sum(-1))),
        ("max_abs", lambda a: np.where(a.max(-1) > -a.min(-1), a.max(-1), a.min(-1))),
    ],
)
def test_channels(channels, expected):
    values = np.asarray(pictures(shape=(5, 6, 3)), np.float64)
    reduced = expected(values)
    np.testing.assert_allclose(
        plot.normalize(values, 100, channels), reduced / np.abs(reduced).max(), rtol=1e-12
    )


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64, jnp.int32])
def test_every_real_dtype_of_jax_and_numpy(dtype):
    values = jnp.array([[-4, 0], [1, 2]], dtype)
    expected = [[-1, 0], [0.25, 0.5]]
    for array in (values, np.asarray(values)):
        picture = plot.normalize(array, percentile=100)
        assert picture.dtype == np.float64
        np.testing.assert_array_equal(picture, expected)


# ------------------------------------------------------------------------------------ heatmap


def test_heatmap_limits_are_symmetric_and_the_bar_says_the_scale():
    values = np.linspace(-1.0, 3.0, 35).reshape(5, 7)
    figure = plot.heatmap(values, percentile=100)
    picture, bar = figure.axes
    assert picture.images[0].get_clim() == (-1, 1)
    np.testing.assert_allclose(picture.images[0].get_array(), values / 3)
    assert [tick.get_text() for tick in bar.get_yticklabels()] == ["\u22123", "0", "+3"]


def test_heatmap_colours_show_the_sign():
    up, down = np.ones((4, 4)), -np.ones((4, 4))
    positive, negative = (plot.heatmap(values, colorbar=False) for values in (up, down))
    warm = seen(positive, positive.axes[0]).mean((0, 1))
    cold = seen(negative, negative.axes[0]).mean((0, 1))
    assert warm[0] > warm[2] + 0.3 and cold[2] > cold[0] + 0.3
    assert np.abs(warm - cold).max() > 0.4


def test_heatmap_of_zero_is_white():
    figure = plot.heatmap(jnp.zeros((6, 6)))
    np.testing.assert_array_equal(seen(figure, figure.axes[0]), 1.0)
    assert [tick.get_text() for tick in figure.axes[1].get_yticklabels()] == ["", "0", ""]


def test_zero_is_white_beside_large_values():
    values = np.array([[-7.0, 0.0, 5.0]])
    figure = plot.heatmap(values, percentile=100)
    left, middle, right = np.array_split(seen(figure, figure.axes[0], 0.9), 3, axis=1)
    np.testing.assert_array_equal(middle[:, 4:-4], 1.0)
    assert left[..., 2].mean() > left[..., 0].mean() and right[..., 0].mean() > right[..., 2].mean()


def test_the_bar_is_pointed_only_if_values_are_clipped():
    values = pictures()
    pointed = plot.heatmap(values, percentile=50).axes[1]
    square = plot.heatmap(values, percentile=100).axes[1]
    assert len(pointed.patches) > len(square.patches)


@pytest.mark.parametrize(
    ("shape", "panels"),
    [
        ((8, 9), 1),
        ((8, 9, 1), 1),
        ((8, 9, 3), 1),
        ((5, 8, 9), 5),
        ((2, 8, 9, 3), 2),
        ((1, 8, 9, 7), 1),
    ],
)
def test_a_batch_is_a_row(shape, panels):
    figure = plot.heatmap(pictures(shape=shape))
    assert len(figure.axes) == panels + 1
    drawn = figure.axes[:panels]
    assert all(axes.images[0].get_array().shape == (8, 9) for axes in drawn)
    assert len({axes.get_position().y0 for axes in drawn}) == 1
    assert sorted({axes.get_position().x0 for axes in drawn}) == [
        axes.get_position().x0 for axes in drawn
    ]
    assert len(plot.heatmap(pictures(shape=shape), colorbar=False).axes) == panels


def test_each_picture_of_a_batch_has_its_own_scale():
    one = np.asarray(pictures(shape=(8, 9)), np.float64)
    figure = plot.heatmap(np.stack([one, 1000 * one]))
    first, second = (axes.images[0].get_array() for axes in figure.axes[:2])
    np.testing.assert_allclose(first, second)
    assert figure.axes[2].get_ylabel().split() == ["share", "of", "panel's", "scale"]


def test_panels_have_the_shape_of_the_pictures():
    figure = plot.heatmap(pictures(shape=(3, 20, 40)))
    width, height = figure.axes[0].get_window_extent().size
    assert width == pytest.approx(2 * height)


def test_heatmap_takes_a_colour_map_by_name_or_object():
    colormaps = pytest.importorskip("matplotlib").colormaps
    by_name = plot.heatmap(pictures(), cmap="PuOr").axes[0].images[0]
    by_object = plot.heatmap(pictures(), cmap=colormaps["PuOr"]).axes[0].images[0]
    assert by_name.get_cmap() == by_object.get_cmap() == colormaps["PuOr"]


@pytest.mark.parametrize(
    "title", [None, "one title for all of them", ["a", "a long title that needs lines", "c" * 40]]
)
def test_heatmap_titles_do_not_overlap(title):
    figure = plot.heatmap(pictures(shape=(3, 8, 16)), title=title)
    assert_well_laid_out(figure)
    strings = " ".join(string for string, _ in boxes(figure))
    for part in [title] if isinstance(title, str) else title or []:
        assert part.split()[0] in strings


def test_a_title_fits_a_narrow_picture():
    assert_well_laid_out(plot.heatmap(pictures(shape=(90, 9)), title="integrated_gradients"))


# ------------------------------------------------------------------------------------ overlay


@pytest.mark.parametrize("gray", [True, False])
def test_the_image_shows_where_the_attribution_is_zero(gray):
    image = np.full((10, 20, 3), [0.8, 0.4, 0.2])
    attribution = np.zeros((10, 20))
    attribution[:, :5], attribution[:, 15:] = 1.0, -1.0
    drawn = plot.overlay(image, attribution, gray=gray).axes[0].images[0].get_array()
    luminance = np.full(3, [0.8, 0.4, 0.2]) @ [0.299, 0.587, 0.114]
    under = 0.2 + 0.8 * (np.full(3, luminance) if gray else image[0, 0])
    np.testing.assert_allclose(drawn[:, 5:15], np.broadcast_to(under, (10, 10, 3)))
    redder = drawn[0, 0] - under
    bluer = drawn[0, -1] - under
    assert redder[0] > redder[2] and bluer[2] > bluer[0]


def test_alpha_is_the_opacity_of_the_largest():
    image, attribution = np.full((4, 4), 0.5), np.eye(4)
    bare = plot.overlay(image, attribution, alpha=0).axes[0].images[0].get_array()
    half = plot.overlay(image, attribution, alpha=0.5).axes[0].images[0].get_array()
    full = plot.overlay(image, attribution, alpha=1).axes[0].images[0].get_array()
    np.testing.assert_allclose(bare, 0.2 + 0.8 * 0.5)
    np.testing.assert_allclose(half, (bare + full) / 2)


@pytest.mark.parametrize(
    ("image", "attribution", "panels"),
    [
        ((8, 9), (8, 9), 1),
        ((8, 9, 1), (8, 9, 1), 1),
        ((8, 9, 3), (8, 9, 64), 1),
        ((4, 8, 9), (4, 8, 9), 4),
        ((4, 8, 9, 3), (4, 8, 9, 3), 4),
    ],
)
def test_overlay_shapes(image, attribution, panels):
    figure = plot.overlay(jnp.full(image, 0.5), pictures(shape=attribution))
    assert len(figure.axes) == panels + 1
    assert_well_laid_out(figure)


def test_bytes_and_floats_are_the_same_image():
    image = np.arange(0, 240, 5, dtype=np.uint8).reshape(4, 4, 3)
    drawn = [
        plot.overlay(i, np.eye(4)).axes[0].images[0].get_array()
        for i in (image, image / 255, jnp.asarray(image), jnp.asarray(image / 255, jnp.float32))
    ]
    for other in drawn[1:]:
        np.testing.assert_allclose(other, drawn[0], atol=1e-6)


# --------------------------------------------------------------------------------------- grid


METHODS = {"gradient": 1.0, "integrated_gradients of a long name": 50.0, "LRP": -0.01}


def methods(shape=(8, 12, 3)):
    return {name: scale * pictures(shape=shape) for name, scale in METHODS.items()}


def test_grid_draws_the_image_first_and_each_method_on_its_own_scale():
    image = jnp.asarray(np.random.default_rng(1).uniform(size=(8, 12, 3)))
    figure = plot.grid(image, methods())
    first, *panels, bar = figure.axes
    np.testing.assert_allclose(first.images[0].get_array(), image)
    assert len(panels) == 3
    expected = plot.normalize(methods()["gradient"])
    for panel, sign in zip(panels, (1, 1, -1), strict=True):
        np.testing.assert_allclose(panel.images[0].get_array(), sign * expected, atol=1e-6)
    assert [tick.get_text() for tick in bar.get_yticklabels()] == ["\u2212", "0", "+"]
    assert bar.get_ylabel().split() == ["share", "of", "panel's", "scale"]
    assert_well_laid_out(figure)


def test_grid_without_an_image_or_a_bar():
    figure = plot.grid(None, methods(), colorbar=False)
    assert len(figure.axes) == 3


def test_grid_folds_into_columns():
    figure = plot.grid(jnp.zeros((8, 12)), methods((8, 12)), columns=2, colorbar=False)
    places = [axes.get_position() for axes in figure.axes]
    assert len({round(place.x0, 6) for place in places}) == 2
    assert len({round(place.y0, 6) for place in places}) == 2
    many = {str(i): pictures(i) for i in range(9)}
    lefts = {round(a.get_position().x0, 6) for a in plot.grid(None, many, colorbar=False).axes}
    assert len(lefts) == 5


def test_captions_stand_below_their_panels():
    captions = {"gradient": "residual 1e-6, 3 ms", "LRP": "9 ms"}
    figure = plot.grid(jnp.zeros((8, 12)), methods((8, 12)), captions=captions, columns=2)
    assert_well_laid_out(figure)
    placed = dict(boxes(figure))
    for name, panel in zip(METHODS, figure.axes[1:], strict=False):
        if name in captions:
            title, caption, box = placed[name], placed[captions[name]], panel.get_window_extent()
            assert caption.y1 <= box.y0 and box.y1 <= title.y0
            assert caption.x0 + caption.width / 2 == pytest.approx(box.x0 + box.width / 2, abs=2)


def test_a_grid_of_a_batch_has_a_row_for_each_example():
    image = jnp.full((2, 8, 12, 3), 0.5)
    figure = plot.grid(image, methods((2, 8, 12, 3)), captions={"LRP": "9 ms"})
    assert len(figure.axes) == 2 * 4 + 1
    assert [string for string, _ in boxes(figure)].count("LRP") == 1
    assert_well_laid_out(figure)


# --------------------------------------------------------------------------------------- text


def shown(figure):
    return {text.get_text(): text for text in figure.axes[0].texts}


def test_text_colours_show_the_sign_and_zero_is_white():
    figure = plot.text(["bad", "the", "good"], np.array([-1.0, 0.0, 1.0]), colorbar=False)
    bad, the, good = (np.array(patch.get_facecolor()) for patch in figure.axes[0].patches)
    assert bad[2] > bad[0] + 0.3 and good[0] > good[2] + 0.3
    np.testing.assert_array_equal(the, 1.0)
    pixels = rendered(figure).reshape(-1, 3)
    for color in (bad, good):
        assert (np.abs(pixels - color[:3]).max(1) < 0.01).sum() > 100


def test_text_wraps_to_the_width():
    tokens = ["the", "quick", "brown", "fox", "jumps", "over"] * 9
    rows = []
    for width in (3.0, 6.5):
        figure = plot.text(tokens, np.linspace(-1, 1, len(tokens)), width=width)
        assert figure.get_size_inches()[0] == width
        assert [text.get_text() for text in figure.axes[0].texts] == tokens
        assert_well_laid_out(figure)
        rows.append(len({round(text.get_position()[1], 3) for text in figure.axes[0].texts}))
    assert rows[0] > rows[1] > 1


def test_word_pieces_are_joined():
    figure = plot.text(TOKENS, np.arange(7.0))
    assert list(shown(figure)) == ["[CLS]", "un", "believ", "ably", "good", "film", "[SEP]"]
    lefts = [patch.get_x() for patch in figure.axes[0].patches]
    rights = [patch.get_x() + patch.get_width() for patch in figure.axes[0].patches]
    gaps = np.array(lefts[1:]) - np.array(rights[:-1])
    np.testing.assert_allclose(gaps[[1, 2]], 0, atol=1e-9)
    assert gaps[[0, 3, 4, 5]].min() > 0.02


def test_a_joined_word_moves_to_the_next_line_as_a_whole():
    tokens = ["aaaaaaaaaa", "bbbbbbbbbb", "super", "##cali", "##fragi", "##listic"]
    placed = shown(plot.text(tokens, np.ones(6), width=2.6))
    rows = {token: text.get_position()[1] for token, text in placed.items()}
    assert rows["super"] == rows["cali"] == rows["fragi"] == rows["listic"]
    assert rows["super"] > rows["bbbbbbbbbb"]


def test_a_token_longer_than_a_line_is_cut():
    figure = plot.text(["x" * 100, "end"], np.ones(2), width=2)
    assert "".join(text.get_text() for text in figure.axes[0].texts) == "x" * 100 + "end"
    assert_well_laid_out(figure)


def test_white_space_is_visible_and_a_newline_breaks_the_line():
    texts = plot.text(["a", "\n", " ", "b", "$x$"], np.ones(5)).axes[0].texts
    assert [text.get_text() for text in texts] == ["a", "\u21b5", "\u2423", "b", "$x$"]
    assert texts[0].get_position()[1] < texts[2].get_position()[1]


def test_letters_are_legible_on_every_colour():
    scores = np.linspace(-1, 1, 41)
    figure = plot.text(["word"] * 41, scores)

    def luminance(color):
        color = np.asarray(color[:3])
        linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    for patch, text in zip(figure.axes[0].patches, figure.axes[0].texts, strict=True):
        letters = {"black": 0.0, "white": 1.0}[text.get_color()]
        low, high = sorted((letters, luminance(patch.get_facecolor())))
        assert (high + 0.05) / (low + 0.05) > 4.5  # the AA level of WCAG 2


# --------------------------------------------------------------------------------------- bars


def drawn_bars(figure):
    axes = figure.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    return dict(zip(names, axes.patches, strict=True))


def test_bars_are_sorted_and_coloured_by_sign():
    figure = plot.bars(["a", "b", "c"], jnp.array([0.1, -3.0, 2.0]))
    drawn = drawn_bars(figure)
    assert list(drawn) == ["b", "c", "a"]
    np.testing.assert_allclose([bar.get_width() for bar in drawn.values()], [-3, 2, 0.1])
    assert drawn["b"].get_facecolor() != drawn["c"].get_facecolor() == drawn["a"].get_facecolor()
    low, high = figure.axes[0].get_ylim()
    assert low > high, "the largest bar belongs on top"
    assert [text.get_text() for text in figure.axes[0].texts] == ["\u22123.00", "+2.00", "+0.10"]


def test_the_others_are_summed():
    scores = np.array([5.0, -0.5, 4.0, 0.25, 1.0])
    drawn = drawn_bars(plot.bars(list("abcde"), scores, top=2))
    assert list(drawn) == ["a", "c", "3 others"]
    assert drawn["3 others"].get_width() == 0.75
    assert sum(bar.get_width() for bar in drawn.values()) == scores.sum()
    assert list(drawn_bars(plot.bars(list("abcde"), scores, top=4))) == list("acebd")


def test_bars_leave_room_for_numbers_and_long_names():
    names = [f"feature {i}" for i in range(30)]
    names[3] = "mean corpuscular haemoglobin concentration ($) of the blood ($)"
    scores = np.asarray(pictures(shape=(30,)))
    figure = plot.bars(
        names, scores, errors=0.3 * abs(scores), top=10, title="Diabetes " * 9, xlabel="score " * 20
    )
    assert_well_laid_out(figure)


def test_error_bars_span_the_errors():
    figure = plot.bars(["a", "b"], [2.0, -1.0], errors=[0.5, 0.25])
    segments = [line.get_segments()[0] for line in figure.axes[0].collections]
    np.testing.assert_allclose(segments[0][:, 0], [1.5, 2.5])
    np.testing.assert_allclose(segments[1][:, 0], [-1.25, -0.75])


@pytest.mark.parametrize("scores", [[0.0, 0.0], [1e-9, -1e-12], [1e9, 3.0], [-5.0, -4.0]])
def test_bars_of_any_size(scores):
    assert_well_laid_out(plot.bars(["a", "b"], scores))


# ------------------------------------------------------------------------------------- curves


def test_curves_draw_the_numbers_and_name_them():
    t = jnp.linspace(0, 1, 20)
    figure = plot.curves(
        t,
        {"score": t**2, "gradient": 2 * t},
        xlabel="share of path",
        ylabel="score",
        errors={"gradient": 0.1 * jnp.ones(20)},
        title="Path",
    )
    (axes,) = figure.axes
    for line, expected in zip(axes.lines, (t**2, 2 * t), strict=True):
        np.testing.assert_allclose(line.get_xdata(), t)
        np.testing.assert_allclose(line.get_ydata(), expected)
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(2.1) and band[:, 1].min() == pytest.approx(-0.1)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("share of path", "score")
    assert [text.get_text() for text in figure.legends[0].texts] == ["score", "gradient"]
    assert_well_laid_out(figure)


def test_twenty_curves_can_be_told_apart():
    series = {f"a rather long name of method {i}": np.arange(4.0) * i for i in range(20)}
    figure = plot.curves(np.arange(4.0), series, xlabel="x", ylabel="y")
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == 20
    assert_well_laid_out(figure)


# --------------------------------------------------------------------------------------- save


@pytest.mark.parametrize(
    ("suffix", "start"),
    [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF"), (".PNG", b"\x89")],
)
def test_save_writes_the_format_and_creates_folders(tmp_path, suffix, start):
    target = tmp_path / "new" / "folder" / f"picture{suffix}"
    written = plot.save(plot.heatmap(pictures()), str(target))
    assert written == target and isinstance(written, Path)
    assert target.read_bytes().startswith(start)


def test_saving_twice_gives_the_same_png(tmp_path):
    files = [plot.save(plot.heatmap(pictures()), tmp_path / f"{i}.png") for i in range(2)]
    assert files[0].read_bytes() == files[1].read_bytes()


# ----------------------------------------------------------------------- no pyplot, no leaks


def run(code):
    root = str(Path(jaxplain.__path__[0]).parent)
    environment = {**os.environ, "PYTHONPATH": root}
    environment.pop("DISPLAY", None)
    code = textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_loads_no_matplotlib_and_drawing_no_pyplot(tmp_path):
    loaded = run(f"""
        import sys
        from jaxplain import plot
        print("matplotlib" in sys.modules)
        x = [[1.0, -1.0]]
        figures = [plot.heatmap(x), plot.overlay([[0.1, 0.2]], x), plot.grid(None, {{"a": x}}),
                   plot.text(["a"], [1.0]), plot.bars(["a"], [1.0]),
                   plot.curves([0.0, 1.0], {{"a": [0.0, 1.0]}}, xlabel="x", ylabel="y")]
        for figure in figures:
            plot.save(figure, {str(tmp_path / "figure.png")!r})
        print("matplotlib.pyplot" in sys.modules)
    """)
    assert loaded == ["False", "False"]


def test_without_matplotlib_the_error_says_what_to_install():
    said = run("""
        import sys
        sys.modules["matplotlib"] = None
        from jaxplain import plot
        for draw in (lambda: plot.heatmap([[1.0]]), lambda: plot.text(["a"], [1.0]),
                     lambda: plot.bars(["a"], [1.0])):
            try:
                draw()
            except ImportError as error:
                print('pip install "jaxplain[plot]"' in str(error))
        print(plot.normalize([[2.0]]).item())
    """)
    assert said == ["True", "True", "True", "1.0"]


def test_figures_are_freed():
    figure = plot.heatmap(pictures())
    rendered(figure)
    alive = weakref.ref(figure)
    del figure
    gc.collect()
    assert alive() is None


# -------------------------------------------------------------------------------------- logos


LOGO = np.array([[1.0, 0.0, 0.0, -0.5], [0.0, 2.0, 1.0, 0.0], [-1.0, -0.25, 0.0, 0.0]])


def letter_boxes(axes):
    """Where each letter of a track stands, in data coordinates: left, bottom, right, top."""
    letters = [patch for patch in axes.patches if type(patch).__name__ == "PathPatch"]
    return [patch.get_path().get_extents().extents for patch in letters]


def test_letters_are_as_tall_as_their_contributions():
    (axes,) = plot.sequence_logo(LOGO, start=10).axes
    spans = sorted(
        (round((left + right) / 2), round(low, 6), round(high, 6))
        for left, low, right, high in letter_boxes(axes)
    )
    assert spans == [
        (10, -0.5, 0.0),
        (10, 0.0, 1.0),
        (11, 0.0, 1.0),  # G, the smaller one, stands nearer to zero
        (11, 1.0, 3.0),
        (12, -1.25, -0.25),
        (12, -0.25, 0.0),
    ]
    assert axes.get_ylim() == (-1.25, 3.0)
    assert axes.get_xlim() == (9.5, 12.5)


def test_tracks_have_their_own_scale_and_regions_are_named():
    tracks = {"one": LOGO, "a hundred times": 100 * LOGO}
    figure = plot.sequence_logo(tracks, regions={"motif": [[1, 3]]}, title="A title")
    assert [axes.get_ylim() for axes in figure.axes] == [(-1.25, 3.0), (-125.0, 300.0)]
    words = [text for text, _ in boxes(figure)]
    assert {"A title", "one", "a hundred times", "motif", "position"} <= set(words)
    assert_well_laid_out(figure)


def test_a_logo_of_zeros_and_of_another_alphabet():
    (axes,) = plot.sequence_logo(np.zeros((3, 4))).axes
    assert not letter_boxes(axes)
    figure = plot.sequence_logo(np.eye(5), alphabet="HELO-")
    assert len(letter_boxes(figure.axes[0])) == 5
    assert_well_laid_out(figure)


def test_letters_have_their_colours():
    (axes,) = plot.sequence_logo(np.eye(4), colors={"A": "black"}).axes
    colours = {tuple(patch.get_facecolor()) for patch in axes.patches}
    assert (0, 0, 0, 1) in colours and len(colours) == 4


# ------------------------------------------------------------------------------------- errors


NAN = np.array([[0.0, 1.0], [np.nan, np.inf]])
EYE = np.eye(4)
IMAGE = np.full((4, 4, 3), 0.5)


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda: plot.heatmap(NAN), ValueError, "1 NaN and 1 infinite .* index (1, 0).*nan_to_num"),
        (lambda: plot.normalize(NAN), ValueError, "attribution holds 1 NaN"),
        (lambda: plot.heatmap(np.ones(3)), ValueError, "shape (3,).*(H, W).*plot.bars"),
        (lambda: plot.heatmap(np.ones((1, 1, 1, 1, 1))), ValueError, "(1, 1, 1, 1, 1)"),
        (lambda: plot.heatmap(np.ones((0, 3))), ValueError, "empty, with shape (0, 3)"),
        (lambda: plot.heatmap(EYE * 1j), TypeError, "dtype complex128.*abs()"),
        (lambda: plot.heatmap({"w": EYE}), TypeError, "pass one leaf"),
        (lambda: plot.heatmap([[1.0], [1.0, 2.0]]), TypeError, "one array of real numbers"),
        (lambda: plot.heatmap(np.array([["a"]])), TypeError, "dtype <U1"),
        (lambda: plot.heatmap(jax.random.key(0)), TypeError, "dtype key"),
        (lambda: plot.heatmap(np.ones((33, 8, 8))), ValueError, "batch of 33.*attribution[:32]"),
        (lambda: plot.heatmap(np.ones((40, 40, 64))), ValueError, "(H, W, C).*attribution[None]"),
        (lambda: plot.heatmap(np.ones((2, 4, 5)), title=["a"]), ValueError, "1 entries for 2"),
        (lambda: plot.heatmap(EYE, cmap="rainbowy"), ValueError, "'rainbowy'.*cmap=None"),
        (lambda: plot.heatmap(np.ones((4, 4, 3)), channels="max"), ValueError, "max_abs"),
        (lambda: plot.heatmap(EYE, percentile=0), ValueError, "percentile=0 .*(0, 100]"),
        (lambda: plot.heatmap(EYE, percentile=100.5), ValueError, "percentile=100.5"),
        (lambda: plot.heatmap(EYE, percentile=float("nan")), ValueError, "percentile=nan"),
        (lambda: plot.heatmap(EYE, percentile="99"), TypeError, "percentile='99'.*such as 99"),
        (lambda: plot.normalize(np.ones((2, 3, 4, 5))), ValueError, "for a in attribution"),
        (lambda: jax.jit(plot.heatmap)(EYE), TypeError, "traced by JAX.*draw it outside"),
        (lambda: plot.overlay(IMAGE * 510, EYE), ValueError, "[255, 255].*image / 255"),
        (lambda: plot.overlay(IMAGE - 2, EYE), ValueError, "[-1.5, -1.5].*image * std + mean"),
        (lambda: plot.overlay(np.full((4, 4), 255), EYE), ValueError, 'int64.*astype("uint8")'),
        (lambda: plot.overlay(np.full((4, 4, 4), 0.5), EYE), ValueError, "image[..., :3]"),
        (lambda: plot.overlay(np.ones((2, 3, 5, 5)), EYE), ValueError, "moveaxis(image, -3, -1)"),
        (lambda: plot.overlay(IMAGE * np.nan, EYE), ValueError, "image holds 48 NaN"),
        (lambda: plot.overlay(IMAGE, np.eye(7)), ValueError, "(7, 7).*(4, 4).*jax.image.resize"),
        (lambda: plot.overlay(IMAGE, np.ones((3, 4, 4))), ValueError, "(3, 4, 4).*moveaxis"),
        (lambda: plot.overlay(IMAGE, np.ones((1, 4, 4, 3))), ValueError, "attribution[0]"),
        (lambda: plot.overlay(IMAGE, EYE, alpha=1.5), ValueError, "alpha=1.5"),
        (lambda: plot.grid(IMAGE, {}), ValueError, "attributions is empty"),
        (lambda: plot.grid(IMAGE, [EYE]), TypeError, "mapping from str to arrays"),
        (lambda: plot.grid(IMAGE, {1: EYE}), TypeError, "mapping from str to arrays"),
        (
            lambda: plot.grid(IMAGE, {"a": np.eye(5)}),
            ValueError,
            "attributions['a'].*(5, 5).*image",
        ),
        (lambda: plot.grid(None, {"a": EYE, "b": np.eye(5)}), ValueError, "['b'].*['a'] is (4, 4)"),
        (lambda: plot.grid(IMAGE, {"a": NAN}), ValueError, "attributions['a'] holds"),
        (lambda: plot.grid(IMAGE, {"a": EYE}, captions={"b": ""}), ValueError, "'b'.*some of 'a'"),
        (lambda: plot.grid(IMAGE, {"a": EYE}, columns=0), ValueError, "columns=0"),
        (
            lambda: plot.grid(IMAGE[None], {"a": EYE[None]}, columns=2),
            ValueError,
            "columns=2.*Leave columns out",
        ),
        (lambda: plot.text(["a", "b"], [1.0]), ValueError, "scores has 1 .*tokens has 2"),
        (lambda: plot.text(["a"], [[1.0]]), ValueError, "shape (1, 1).*scores.sum(axis=-1)"),
        (lambda: plot.text("ab", [1.0, 2.0]), TypeError, "tokens is 'ab'.*split"),
        (lambda: plot.text([1, 2], [1.0, 2.0]), TypeError, "sequence of str"),
        (lambda: plot.text([], []), ValueError, "tokens is empty"),
        (lambda: plot.text(["a"], [np.nan]), ValueError, "scores holds 1 NaN"),
        (lambda: plot.text(["a"], [1.0], width=0.5), ValueError, "width=0.5.*at least 2"),
        (lambda: plot.bars(["a"], [1.0, 2.0]), ValueError, "scores has 2 .*names has 1"),
        (lambda: plot.bars(["a"], [1.0], errors=[-1.0]), ValueError, "errors has negative"),
        (lambda: plot.bars(["a"], [1.0], errors=[1.0, 2.0]), ValueError, "errors has 2"),
        (lambda: plot.bars(["a"], [1.0], top=0), ValueError, "top=0"),
        (lambda: plot.bars(["a"], [np.inf]), ValueError, "scores holds 0 NaN and 1 infinite"),
        (
            lambda: plot.curves([0.0], {}, xlabel="", ylabel=""),
            ValueError,
            "series is empty",
        ),
        (
            lambda: plot.curves([0.0, 1.0], {"a": [1.0]}, xlabel="", ylabel=""),
            ValueError,
            "series['a'] has 1 .*x has 2",
        ),
        (
            lambda: plot.curves([0.0], {"a": [1.0]}, xlabel="", ylabel="", errors={"b": [1.0]}),
            ValueError,
            "errors has an entry 'b'",
        ),
        (
            lambda: plot.curves([0.0], [[1.0]], xlabel="", ylabel=""),
            TypeError,
            "series is [[1.0]]",
        ),
        (lambda: plot.sequence_logo(LOGO.T), ValueError, "(4, 3).*contributions.T"),
        (lambda: plot.sequence_logo(LOGO[None]), ValueError, "contributions[0]"),
        (lambda: plot.sequence_logo(LOGO, alphabet="AACG"), ValueError, "'AACG'.*repeated"),
        (lambda: plot.sequence_logo({"a": LOGO, "b": EYE}), ValueError, "'b'.*4 positions"),
        (lambda: plot.sequence_logo(LOGO, regions={"m": [3, 9]}), ValueError, "[[3, 9]]"),
        (lambda: plot.sequence_logo(LOGO, regions={"m": [[2, 1]]}), ValueError, "ends before"),
        (lambda: plot.save(plot.bars(["a"], [1.0]), "a.jpg"), ValueError, "'.jpg'.*a.png"),
        (lambda: plot.save("a.png", "b.png"), TypeError, "figure is a str.*goes first"),
    ],
)
def test_errors_say_what_was_given_and_what_to_type(draw, error, message):
    pattern = ".*".join(re.escape(part) for part in message.split(".*"))
    with pytest.raises(error, match=f"(?s){pattern}"):
        draw()
