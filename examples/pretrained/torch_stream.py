"""Reads the tensors of a PyTorch file in its legacy format with NumPy and nothing else.

Such a file is a row of pickles followed by the raw numbers: a magic number, a protocol version,
facts about the machine that wrote it, the state dict, whose tensors only say where their numbers
lie, the keys of the storages, and then each storage in that order, its length first.

Pickles can run any code, so this reader knows only the few names a state dict needs and refuses
all others.
"""

import pickle
import struct
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

_HEADER = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2) + pickle.dumps(1001, protocol=2)


class _Storage(NamedTuple):
    key: str
    dtype: str


class _Tensor(NamedTuple):
    """A tensor before its numbers are read: the arguments PyTorch would rebuild it from."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    requires_grad: bool
    hooks: object

    def array(self, buffers: Mapping[str, bytes]) -> np.ndarray:
        """Copy the tensor out of its storage; NumPy checks that it lies inside."""
        dtype = np.dtype(self.storage.dtype)
        return np.ndarray(
            self.size,
            dtype,
            buffer=buffers[self.storage.key],
            offset=self.offset * dtype.itemsize,
            strides=tuple(step * dtype.itemsize for step in self.stride),
        ).copy()


_KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
    ("torch", "HalfStorage"): "<f2",
    ("torch", "FloatStorage"): "<f4",
    ("torch", "DoubleStorage"): "<f8",
    ("torch", "IntStorage"): "<i4",
    ("torch", "LongStorage"): "<i8",
}


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows only `_KNOWN` and notes the storages it meets."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"A weights file has no business with {module}.{name}.")
        return _KNOWN[module, name]

    def persistent_load(self, pid: tuple[Any, ...]) -> _Storage:
        kind, dtype, key, _device, _length, view = pid
        if kind != "storage" or view is not None:
            raise pickle.UnpicklingError(f"Only whole storages can be read, not {pid!r}.")
        return self.storages.setdefault(key, _Storage(key, dtype))


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read the state dict in the legacy PyTorch file at `path`.

    Raises:
        ValueError: When the file is of another format, was cut short, or comes from a machine
            with the other byte order.
        pickle.UnpicklingError: When the file asks for anything but tensors.
    """
    with path.open("rb") as file:
        if file.read(len(_HEADER)) != _HEADER:
            raise ValueError(f"{path} is not a PyTorch file in the legacy format.")
        if not _Unpickler(file).load()["little_endian"]:
            raise ValueError(f"{path} was written on a big-endian machine, which is not supported.")
        unpickler = _Unpickler(file)
        tensors: dict[str, _Tensor] = unpickler.load()
        keys: list[str] = _Unpickler(file).load()
        buffers = {key: _read_storage(file, unpickler.storages[key]) for key in keys}
    return {name: tensor.array(buffers) for name, tensor in tensors.items()}


def _read_storage(file: BinaryIO, storage: _Storage) -> bytes:
    (length,) = struct.unpack("<q", _read_exactly(file, 8))
    return _read_exactly(file, length * np.dtype(storage.dtype).itemsize)


def _read_exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise ValueError(f"{file.name} is cut short: {count - len(data)} bytes are missing.")
    return data
