"""Pictures by their spectrum, in colours that vary independently."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._axes import checked_axes
from .._errors import check_choice, check_real, is_concrete
from .._tree import path_name, wide
from .._types import PyTree, Scalar
from ..baselines import constant
from ._parametrizations import Parametrization, checked_bounds

# The square root of the covariance of colours in ImageNet, as in the code of Olah et al. 2017.
IMAGENET = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))

# How near to a bound a start may lie, as a share of the range: at the bound itself the sigmoid is
# flat, and nothing would ever move.
MARGIN = 1e-3


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Half of the spectrum of a real picture; the other half is its conjugate."""

    parts: jax.Array  # real and imaginary, on a trailing axis of size 2
    width: int = dataclasses.field(metadata={"static": True})  # of the picture, even or odd


def fourier(
    bounds: tuple[Any, Any] | None = (0, 1),
    decay: Scalar = 1.0,
    colors: Any = None,
    axes: tuple[int, int] = (0, 1),
) -> Parametrization:
    r"""Pictures by their spectrum, in which low frequencies move first.

    $x = l + (h - l)\,\sigma(M y)$ with $y = \mathcal F^{-1}(s \odot c)$: the code $c$ is a spectrum
    scaled by $s(k) = \max(|k|, 1/n)^{-\text{decay}}$, with $|k|$ the frequency in cycles per pixel
    and $n$ the larger side; $M$ mixes colours at each pixel.

    Args:
        bounds: the least and the greatest value, `(low, high)`, each a number, or one per channel
            of the last axis, in the units of the input; None for no bounds, without the sigmoid.
        decay: how fast amplitudes fall with the frequency. 1 is that of photographs, 0 treats all
            frequencies alike, as pixels do. May be traced.
        colors: a matrix (C, C) whose columns are independent colours, for a last axis of size C,
            from `natural_colors`; `"imagenet"` for that of ImageNet, in RGB; None for channels as
            they are.
        axes: the spatial axes of `x`, (0, 1) for HW and HWC.

    Returns:
        A `Parametrization`. Its code has the real and imaginary parts on a trailing axis, and half
        of the frequencies along the second of `axes`.

    Raises:
        ValueError: an option is invalid, or `colors` has no inverse; when called, `x` lacks one of
            the axes, or has no axis of colours.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: jnp.sum(x[2:5, 2:5]) - jnp.sum(x)
        >>> smooth = jaxplain.parametrizations.fourier()
        >>> spot = jaxplain.maximize_activation(f, parametrization=smooth)(jnp.full((7, 7), 0.5))
        >>> bool(spot[3, 3] > 0.9), bool(spot[0, 0] < 0.1)
        (True, True)

    Notes:
        A start at the bounds, or outside of them, is moved inside by a thousandth of the range; all
        others are kept. The sigmoid is nearly flat there, so black is a poor start, and gray with a
        little noise a good one. A model that takes other units than RGB from 0 to 1 is wrapped:
        `lambda x: f(preprocess(x))`, and the ascent starts from, and gives, pictures from 0 to 1.

    References:
        Olah et al. 2017, Feature visualization, Distill.
    """
    if bounds is not None and not all(
        np.all(np.isfinite(bound)) for bound in checked_bounds(bounds) if is_concrete(bound)
    ):
        raise ValueError(f"bounds={bounds!r} must be finite, or None for none at all.")
    check_real("decay", decay, low=0)
    if len(axes) != 2:
        raise ValueError(f"axes={axes} must be the two spatial axes, such as (0, 1).")
    pictures = _Fourier(bounds, decay, _checked_colors(colors), tuple(axes))
    return Parametrization(pictures.encode, pictures.decode, pictures.project)


def natural_colors(images: Any) -> jax.Array:
    r"""The colours that vary independently in a set of pictures, to mix them by.

    $M = U S^{1/2} / \sqrt{S_{\max}}$ with $U S U^\top$ the covariance of the channels over all
    pixels: its columns are the principal colours, the strongest first, as long as they are common.

    Args:
        images: pictures of shape (..., C), any real dtype and unit.

    Returns:
        A matrix (C, C) for `fourier(colors=...)`.

    Raises:
        ValueError: the pictures are not finite, or their colours do not fill all C dimensions.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> gray = jax.random.normal(jax.random.key(0), (4, 8, 8, 1))
        >>> tint = jax.random.normal(jax.random.key(1), (4, 8, 8, 2))
        >>> colors = jaxplain.parametrizations.natural_colors(gray + 0.1 * tint)
        >>> colors[:, 0].round(1)
        Array([0.7, 0.7], dtype=float32)

    References:
        Olah et al. 2017, Feature visualization, Distill.
    """
    values = np.asarray(images, np.float64)
    if values.ndim < 2:
        raise ValueError(f"images has shape {values.shape}: give pictures of shape (..., C).")
    rows = values.reshape(-1, values.shape[-1])
    if not np.isfinite(rows).all():
        raise ValueError("images hold NaN or infinity: leave these pictures out.")
    covariance = np.cov(rows, rowvar=False, bias=True).reshape(rows.shape[1], rows.shape[1])
    vectors, variances, _ = np.linalg.svd(covariance)
    if not variances[-1] > 1e-8 * variances[0]:
        raise ValueError(
            f"The colours of the images fill {int(np.sum(variances > 1e-8 * variances[0]))} of "
            f"{rows.shape[1]} dimensions, as in gray pictures stored in colour: give pictures with "
            "more colours, or one channel and colors=None."
        )
    # An eigenvector's sign is arbitrary: make more of it brighter.
    vectors = vectors * np.where(vectors.sum(axis=0) < 0, -1.0, 1.0)
    return jnp.asarray(vectors * np.sqrt(variances / variances[0]), jnp.result_type(float))


def _checked_colors(colors: Any) -> Any:
    if colors is None:
        return None
    if isinstance(colors, str):
        check_choice("colors", colors, ["imagenet"])
        matrix = np.asarray(IMAGENET)
        return matrix / np.linalg.norm(matrix, axis=0).max()
    shape = np.shape(colors)
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(f"colors has shape {shape}, but must be a matrix (C, C), or 'imagenet'.")
    if is_concrete(colors):
        singular = np.linalg.svd(np.asarray(colors, np.float64), compute_uv=False)
        if not singular[-1] > 1e-6 * singular[0]:
            raise ValueError(
                f"colors has singular values {singular.tolist()} and so no inverse: its columns "
                "must be independent colours."
            )
    return colors


@dataclasses.dataclass(frozen=True)
class _Fourier:
    """The three maps of the parametrization, leaf by leaf."""

    bounds: tuple[Any, Any] | None
    decay: Scalar
    colors: Any
    axes: tuple[int, ...]

    def encode(self, x: PyTree) -> PyTree:
        return jax.tree_util.tree_map_with_path(self._encode, x)

    def decode(self, code: PyTree) -> PyTree:
        return jax.tree.map(self._decode, code, is_leaf=_is_spectrum)

    def project(self, code: PyTree) -> PyTree:
        return jax.tree.map(self._project, code, is_leaf=_is_spectrum)

    def _encode(self, path: Any, leaf: jax.Array) -> Spectrum:
        where = path_name(path)
        axes = checked_axes(self.axes, leaf.shape, where)
        y = leaf.astype(wide(leaf.dtype))
        if self.bounds is not None:
            low, high = (constant(y, bound) for bound in self.bounds)
            share = jnp.clip((y - low) / (high - low), MARGIN, 1 - MARGIN)
            y = jnp.log(share) - jnp.log1p(-share)
        if self.colors is not None:
            self._check_channels(axes, leaf.shape, where)
            y = _mix(y, jnp.linalg.inv(jnp.asarray(self.colors, y.dtype)))
        spectrum = jnp.fft.rfft2(y, axes=axes, norm="ortho")
        parts = jnp.stack([spectrum.real, spectrum.imag], axis=-1)
        width = leaf.shape[axes[1]]
        parts = parts / self._scale(axes, width, parts)
        return Spectrum(parts.astype(leaf.dtype), width)

    def _decode(self, code: Spectrum) -> jax.Array:
        parts = code.parts.astype(wide(code.parts.dtype))
        axes = checked_axes(self.axes, parts.shape[:-1])
        parts = parts * self._scale(axes, code.width, parts)
        spectrum = jax.lax.complex(parts[..., 0], parts[..., 1])
        sides = (parts.shape[axes[0]], code.width)
        y = jnp.fft.irfft2(spectrum, s=sides, axes=axes, norm="ortho")
        if self.colors is not None:
            y = _mix(y, jnp.asarray(self.colors, y.dtype))
        if self.bounds is not None:
            low, high = (constant(y, bound) for bound in self.bounds)
            y = low + (high - low) * jax.nn.sigmoid(y)
        return y.astype(code.parts.dtype)

    def _project(self, code: Spectrum) -> Spectrum:
        """The spectrum of the real part.

        The halved axis still has both of a conjugate pair where its frequency is 0 or the highest
        of an even width.
        """
        parts = code.parts
        rows, columns = checked_axes(self.axes, parts.shape[:-1])
        count = parts.shape[rows]
        mirrored = jnp.take(parts, -np.arange(count) % count, axis=rows)
        sign = np.asarray([1, -1]).reshape((1,) * (parts.ndim - 1) + (2,))
        mirrored = mirrored * jnp.asarray(sign, parts.dtype)
        paired = 2 * np.arange(parts.shape[columns]) % code.width == 0
        shape = [paired.size if axis == columns else 1 for axis in range(parts.ndim)]
        parts = jnp.where(paired.reshape(shape), (parts + mirrored) / 2, parts)
        return Spectrum(parts, code.width)

    def _scale(self, axes: list[int], width: int, parts: jax.Array) -> jax.Array:
        """One number for each frequency, with axes of size 1 for all else."""
        height = parts.shape[axes[0]]
        frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
        floor = np.maximum(frequency, 1 / max(height, width))
        placed = floor.reshape(floor.shape + (1,) * (parts.ndim - 2))
        placed = np.moveaxis(placed, (0, 1), axes)
        return jnp.asarray(placed, parts.dtype) ** -jnp.asarray(self.decay, parts.dtype)

    def _check_channels(self, axes: list[int], shape: tuple[int, ...], where: str) -> None:
        count = np.shape(self.colors)[0]
        if len(shape) - 1 in axes or shape[-1] != count:
            raise ValueError(
                f"colors mixes {count} channels on the last axis, but {where} has shape {shape} "
                f"with spatial axes {tuple(axes)}."
            )


def _is_spectrum(node: Any) -> bool:
    return isinstance(node, Spectrum)


def _mix(y: jax.Array, matrix: jax.Array) -> jax.Array:
    return jnp.tensordot(y, matrix, (-1, 1), precision="highest")
