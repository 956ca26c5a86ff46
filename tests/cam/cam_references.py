"""Class activation maps in NumPy, from activations A and gradients G (rows, columns, k)."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def grad_cam(A: Array, G: Array) -> Array:
    map = np.zeros(A.shape[:2])
    for k in range(A.shape[2]):
        map += G[:, :, k].mean() * A[:, :, k]
    return map


def hires_cam(A: Array, G: Array) -> Array:
    map = np.zeros(A.shape[:2])
    for k in range(A.shape[2]):
        map += G[:, :, k] * A[:, :, k]
    return map


def layer_cam(A: Array, G: Array) -> Array:
    return hires_cam(A, np.where(G > 0, G, 0))


def xgrad_cam(A: Array, G: Array) -> Array:
    map = np.zeros(A.shape[:2])
    for k in range(A.shape[2]):
        weight = (G[:, :, k] * A[:, :, k]).sum() / (A[:, :, k].sum() + 1e-7)
        map += weight * A[:, :, k]
    return map


def grad_cam_plus_plus(A: Array, G: Array) -> Array:
    """Equation 19 of the paper for the shares, and equation 5 for the weights."""
    map = np.zeros(A.shape[:2])
    for k in range(A.shape[2]):
        weight = 0.0
        for g in G[:, :, k].ravel():
            share = g**2 / (2 * g**2 + A[:, :, k].sum() * g**3 + 1e-6) if g != 0 else 0.0
            weight += share * max(g, 0.0)
        map += weight * A[:, :, k]
    return map


def principal(values: Array) -> Array:
    """By a full singular value decomposition; along the sum over the channels."""
    matrix = values.reshape(-1, values.shape[-1])
    matrix = matrix - matrix.mean(axis=0)
    _, _, right = np.linalg.svd(matrix, full_matrices=False)
    map = matrix @ right[0]
    return (map * np.sign(map @ matrix.sum(axis=1))).reshape(values.shape[:-1])


def eigen_cam(A: Array, G: Array) -> Array:
    return principal(A)


def eigen_grad_cam(A: Array, G: Array) -> Array:
    return principal(G * A)


def bilinear(map: Array, shape: tuple[int, ...]) -> Array:
    """Each pixel's centre seen from the map's cells; beyond the outermost centres, they hold."""
    for axis, size in enumerate(shape):
        cells = map.shape[axis]
        place = np.clip((np.arange(size) + 0.5) * cells / size - 0.5, 0, cells - 1)
        low = np.minimum(place.astype(int), max(cells - 2, 0))
        share = (place - low).reshape([-1 if a == axis else 1 for a in range(map.ndim)])
        high = np.minimum(low + 1, cells - 1)
        map = np.take(map, low, axis) * (1 - share) + np.take(map, high, axis) * share
    return map
