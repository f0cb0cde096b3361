"""Reads weights out of safetensors files and of PyTorch's, without torch and without running what a file says."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llmservice.errors import ModelLoadError

Array = npt.NDArray[Any]
_SAFETENSORS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "|u1"}
_TORCH = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}


class Weights(Mapping[str, Array]):
    """Tensors by name, read from disk when they are asked for."""

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        self._tensors = tensors

    def __getitem__(self, name: str) -> Array:
        return self._tensors[name]()  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def read_directory(folder: Path) -> Weights:
    """Return the weights of a model's directory: its safetensors files, or else `pytorch_model*.bin`."""
    files = sorted(folder.glob("model*.safetensors"))
    reader = read_safetensors
    if not files:
        files, reader = sorted(folder.glob("pytorch_model*.bin")), read_torch
    if not files:
        raise ModelLoadError(f"{folder} has neither model.safetensors nor pytorch_model.bin; download the weights")
    found: dict[str, Any] = {}
    for file in files:
        found |= reader(file)
    return Weights(found)


def read_safetensors(path: Path) -> dict[str, Any]:
    """Return a function for each tensor of a file that reads it as float32 (or as its integers)."""
    size = path.stat().st_size
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > size:
                raise ValueError("its header is longer than the file")
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        found = {}
        for name, item in header.items():
            start, end = item["data_offsets"]
            if 8 + length + end > size:
                raise ValueError("it is incomplete")
            place = (path, item["dtype"], tuple(item["shape"]), 8 + length + start)
            if item["dtype"] in _SAFETENSORS:
                found[name] = lambda place=place: _mapped(*place)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelLoadError(f"{path} is no readable safetensors file ({error}); download or copy it again") from error
    return found


def read_torch(path: Path) -> dict[str, Any]:
    """Return a function for each tensor of a file that `torch.save` wrote.

    Such files are pickles and could run anything: only what makes tensors is let through.
    """
    try:
        archive = zipfile.ZipFile(path)
        root = next(name for name in archive.namelist() if name.endswith("/data.pkl")).removesuffix("data.pkl")
        state = _TensorUnpickler(archive, root).load()
    except (zipfile.BadZipFile, StopIteration, OSError, EOFError, KeyError, ValueError, TypeError, IndexError) as error:
        raise ModelLoadError(
            f"{path} is damaged, or of a version of PyTorch before 1.6 ({error}); download it again"
        ) from error
    except pickle.UnpicklingError as error:
        raise ModelLoadError(f"{path} is refused: {error}. A file of weights holds tensors only") from error
    if not isinstance(state, dict):
        raise ModelLoadError(f"{path} holds no named tensors; it is not a file of weights")
    return {name: (lambda item=item: item()) for name, item in state.items() if isinstance(item, _LazyTensor)}


class _LazyTensor:
    """A tensor inside an archive."""

    def __init__(self, storage: tuple[zipfile.ZipFile, str, str], offset: int, size: Any, stride: Any) -> None:
        self._storage, self._offset, self._size, self._stride = storage, int(offset), tuple(size), tuple(stride)

    def __call__(self) -> Array:
        archive, name, kind = self._storage
        flat = np.frombuffer(archive.read(name), _TORCH[kind])[self._offset :]
        last = sum((count - 1) * step for count, step in zip(self._size, self._stride, strict=True))
        if min((*self._stride, 0)) < 0 or last >= max(len(flat), 1):
            raise ModelLoadError(f"A tensor reaches beyond its data in {archive.filename}; download it again")
        strides = [step * flat.itemsize for step in self._stride]
        return _floats(np.lib.stride_tricks.as_strided(flat, self._size, strides), kind.startswith("BFloat"))


class _TensorUnpickler(pickle.Unpickler):
    """Knows tensors and dictionaries, and nothing else."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(archive.read(root + "data.pkl")))
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if module == "torch._utils" and name == "_rebuild_tensor_v2":
            return lambda storage, offset, size, stride, *_: _LazyTensor(storage, offset, size, stride)
        if module == "torch._utils" and name == "_rebuild_parameter":
            return lambda tensor, *_: tensor
        if module == "torch" and name in _TORCH:
            return name
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no tensor needs")

    def persistent_load(self, pid: Any) -> tuple[zipfile.ZipFile, str, str]:
        return self._archive, f"{self._root}data/{pid[2]}", str(pid[1])


def _mapped(path: Path, kind: str, shape: tuple[int, ...], offset: int) -> Array:
    if 0 in shape:
        return np.zeros(shape, np.float32)
    found = np.memmap(path, _SAFETENSORS[kind], "r", offset, shape or (1,)).reshape(shape)
    return _floats(found, kind == "BF16")


def _floats(found: Array, brain: bool) -> Array:
    """Return float32 of any float; bfloat16 is the upper half of float32."""
    if brain:
        return (found.astype(np.uint32) << 16).view(np.float32)
    return found.astype(np.float32) if found.dtype.kind == "f" else np.array(found)
