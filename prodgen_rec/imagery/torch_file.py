"""Reading the tensors of a PyTorch file, without PyTorch and without trusting its pickle.

The files read here have the layout of PyTorch before 1.6: five pickles (magic number,
protocol version, system information, the tensors, the names of their storages), then the
storages in the order of the names, each an int64 number of elements and the elements. See
``_legacy_save`` in PyTorch's ``torch/serialization.py``.

A pickle can call any function of any module. This one may only build ordered dictionaries
and views of storages; whatever else it names is refused before it is looked up.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from prodgen_rec.errors import InputError

Array = npt.NDArray[Any]

_MAGIC_NUMBER: Final = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION: Final = 1001
_STORAGES: Final = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def read_torch_file(path: Path, sha256: str) -> dict[str, Array]:
    """Tensors of a file by name, float32 or int64.

    Parameters
    ----------
    path
        File that ``torch.save`` wrote in its layout before PyTorch 1.6.
    sha256
        SHA-256 that the file must have, hexadecimal; nothing is read from another file.

    Raises
    ------
    InputError
        The file has another hash, another layout, or names something that is not a tensor.
    """
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise InputError(
            f"{path}: the SHA-256 of the file is {found}, expected {sha256}; "
            "it is damaged or another version: reinstall the package that it belongs to"
        )
    return parse_torch_file(content, str(path))


def parse_torch_file(content: bytes, name: str) -> dict[str, Array]:
    """Tensors in the bytes of a file; ``name`` is its name in error messages.

    Raises
    ------
    InputError
        As `read_torch_file`, but for the hash.
    """
    file = io.BytesIO(content)
    try:
        return _parse(file)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    # Garbage makes the unpickler fail in as many ways as there are operations.
    except Exception as error:
        raise InputError(
            f"{name}: not a file of tensors in the layout before PyTorch 1.6 ({error!r})"
        ) from error


def _parse(file: io.BytesIO) -> dict[str, Array]:
    header = [_TensorUnpickler(file).load() for _ in range(2)]
    if header != [_MAGIC_NUMBER, _PROTOCOL_VERSION]:
        raise InputError(f"the file starts with {header}, which is not PyTorch's old layout")
    if not _TensorUnpickler(file).load()["little_endian"]:
        raise InputError("the file was written on a big-endian machine")
    unpickler = _TensorUnpickler(file)
    tensors = unpickler.load()
    if not isinstance(tensors, Mapping):
        raise InputError(f"the file holds a {type(tensors).__name__}, expected named tensors")
    for key in _TensorUnpickler(file).load():
        _fill(unpickler.storages[key], file)
    return {str(key): np.asarray(tensor) for key, tensor in tensors.items()}


def _fill(storage: Array, file: io.BytesIO) -> None:
    (n_elements,) = struct.unpack("<q", file.read(8))
    content = file.read(storage.nbytes)
    if n_elements != len(storage) or len(content) != storage.nbytes:
        raise InputError(f"a storage of {len(storage)} elements is cut off or has {n_elements}")
    storage[:] = np.frombuffer(content, storage.dtype)


class _TensorUnpickler(pickle.Unpickler):
    """Unpickler of tensors: views of storages, which are zero until they are read."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._n_bytes = len(file.getbuffer())
        self.storages: dict[str, Array] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Stand-ins for the few names that tensors need."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _view
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise InputError(
            f"the pickle names {module}.{name}, which no tensor needs; it was not executed"
        )

    def persistent_load(self, pid: Any) -> Array:
        """The storage that ``("storage", dtype, key, device, n_elements, None)`` stands for."""
        kind, dtype, key, _, n_elements, view = pid
        if kind != "storage" or view is not None:
            raise InputError(f"unknown kind of storage: {pid!r}")
        if not 0 <= n_elements * dtype.itemsize <= self._n_bytes:
            raise InputError(f"storage {key!r} claims {n_elements} elements, more than the file")
        return self.storages.setdefault(key, np.zeros(n_elements, dtype))


def _view(
    storage: Array, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> Array:
    """Tensor as a view of its storage; numpy refuses one that reaches beyond it."""
    size = storage.itemsize
    steps = [size * stride for stride in strides]
    return np.ndarray(shape, storage.dtype, storage.data, offset * size, steps)
