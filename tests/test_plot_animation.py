"""Animations are checked by reading them back: frames, times, colours, and memory."""

import gc
import subprocess
import sys
import weakref

import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain import plot

image = pytest.importorskip("PIL.Image")
figures = pytest.importorskip("matplotlib.figure")


def read(path):
    """The frames of a GIF as RGB, and how long each stays in milliseconds."""
    with image.open(path) as gif:
        frames, times = [], []
        for number in range(gif.n_frames):
            gif.seek(number)
            frames.append(np.asarray(gif.convert("RGB")))
            times.append(gif.info["duration"])
        return frames, times, gif.info.get("loop")


def plain(color, size=(2.0, 1.0)):
    return figures.Figure(figsize=size, facecolor=color)


def test_pictures_come_back_exactly(tmp_path):
    rng = np.random.default_rng(0)
    given = [rng.integers(0, 256, (9, 14, 3), np.uint8) for _ in range(4)]  # 126 colours each
    frames, times, loop = read(plot.animate(given, tmp_path / "a.gif", fps=4, hold=1.5))
    assert len(frames) == 4
    for frame, picture in zip(frames, given, strict=True):
        np.testing.assert_array_equal(frame, picture)
    assert times == [250, 250, 250, 1500]
    assert loop == 0


def test_every_frame_has_colours_of_its_own(tmp_path):
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    zero = np.zeros_like(ramp)
    given = [np.stack(parts, -1) for parts in ((ramp, zero, zero), (zero, ramp, zero))]
    frames, _, _ = read(plot.animate(given, tmp_path / "a.gif"))
    for frame, picture in zip(frames, given, strict=True):
        np.testing.assert_array_equal(frame, picture)


def test_figures_are_drawn_whole(tmp_path):
    path = tmp_path / "new" / "folder" / "a.gif"
    frames, times, _ = read(plot.animate([plain("red"), plain("blue")], path, dpi=50))
    assert [frame.shape for frame in frames] == [(50, 100, 3)] * 2
    assert (frames[0] == (255, 0, 0)).all() and (frames[1] == (0, 0, 255)).all()
    assert times == [200, 1000]


def test_gray_floats_and_arrays_of_jax(tmp_path):
    given = [jnp.array([[0.0, 0.2], [0.6, 1.0]]), np.array([[True, False]] * 2).astype("uint8") * 9]
    frames, *_ = read(plot.animate(given, tmp_path / "a.gif"))
    assert frames[0][..., 0].tolist() == [[0, 51], [153, 255]]
    assert frames[1][..., 2].tolist() == [[9, 0], [9, 0]]


def test_one_array_is_many_frames(tmp_path):
    batch = np.linspace(0, 1, 5 * 12).reshape(5, 3, 4)
    assert len(read(plot.animate(batch, tmp_path / "a.gif"))[0]) == 5


@pytest.mark.parametrize("frames", [1, 3])
def test_without_loop_it_plays_once(tmp_path, frames):
    path = plot.animate([np.zeros((4, 4))] * frames, tmp_path / "a.gif", loop=False, hold=0)
    found, times, loop = read(path)
    assert loop is None and len(found) == frames
    assert times == [200] * frames
    assert path.read_bytes()[:6] == b"GIF89a"


def test_equal_frames_are_kept(tmp_path):
    assert len(read(plot.animate([plain("red")] * 3, tmp_path / "a.gif", dpi=20))[0]) == 3


def test_a_generator_is_drawn_frame_by_frame(tmp_path):
    """At no time do more than two of forty figures live."""
    alive, most = [], []

    def frames():
        for i in range(40):
            gc.collect()
            most.append(sum(reference() is not None for reference in alive))
            figure = plain((i / 40, 0, 0), (1.0, 1.0))
            alive.append(weakref.ref(figure))
            yield figure
            del figure

    plot.animate(frames(), tmp_path / "a.gif", dpi=20)
    assert len(most) == 40
    assert max(most) <= 1


def test_the_same_frames_are_the_same_file(tmp_path):
    first = plot.animate([plain("red"), plain("blue")], tmp_path / "a.gif", dpi=20)
    second = plot.animate([plain("red"), plain("blue")], tmp_path / "b.gif", dpi=20)
    assert first.read_bytes() == second.read_bytes()


def test_a_frame_that_fails_leaves_the_old_file(tmp_path):
    path = plot.animate([np.zeros((4, 4))], tmp_path / "a.gif")
    old = path.read_bytes()

    def frames():
        yield np.ones((4, 4))
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        plot.animate(frames(), path)
    assert path.read_bytes() == old
    assert [file.name for file in tmp_path.iterdir()] == ["a.gif"]


@pytest.mark.parametrize(
    ("frames", "options", "error", "said"),
    [
        ([], {}, ValueError, "frames is empty"),
        (7, {}, TypeError, "frames is a int"),
        (plain("red"), {}, TypeError, "frames is a Figure"),
        ([np.zeros((3, 4)), np.zeros((4, 4))], {}, ValueError, "frame 1 has 4 x 4 dots, the first"),
        (["a.png"], {}, TypeError, "frame 0 is a str"),
        ([[[0.0, 1.0]]], {}, TypeError, "frame 0 is a list"),
        ([np.zeros((2, 3, 4, 3))], {}, ValueError, r"frame 0 has shape \(2, 3, 4, 3\), a batch"),
        ([np.full((3, 3), 2.0)], {}, ValueError, r"expected uint8, or floats in \[0, 1\]"),
        ([np.zeros((3, 3))], {"fps": 0}, ValueError, "fps=0 must be a number between 0.1 and 50"),
        ([np.zeros((3, 3))], {"fps": 60}, ValueError, "fps=60"),
        ([np.zeros((3, 3))], {"hold": -1}, ValueError, "hold=-1"),
        ([np.zeros((3, 3))], {"dpi": 0}, ValueError, "dpi=0"),
    ],
)
def test_what_is_refused(tmp_path, frames, options, error, said):
    with pytest.raises(error, match=said):
        plot.animate(frames, tmp_path / "a.gif", **options)
    assert not list(tmp_path.iterdir())


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"suffix '.mp4'; expected .gif, for example a.gif"):
        plot.animate([np.zeros((3, 3))], tmp_path / "a.mp4")


@pytest.mark.parametrize("module", ["PIL", "PIL.GifImagePlugin"])
def test_without_pillow_the_error_says_what_to_install(tmp_path, module):
    source = f"""
import sys
import numpy as np
from jaxplain import plot
sys.modules[{module!r}] = None
try:
    plot.animate([np.zeros((3, 3))], {str(tmp_path / "a.gif")!r})
except ImportError as error:
    print('Pillow' in str(error) and 'pip install "jaxplain[plot]"' in str(error))
"""
    found = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert found.stdout.split() == ["True"], found.stderr
