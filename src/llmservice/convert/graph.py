"""Builds an ONNX graph: nodes, constants, and linear layers in float32 or int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

MICROSOFT = "com.microsoft"
OPSET = 20
IR_VERSION = 10
_ALIGNMENT = 4096
_INLINE = 1024
"""Bytes up to which a constant stays inside the model file, when data are kept outside."""


class Graph:
    """Collects nodes and constants. With `data`, large constants go into that file beside the model."""

    def __init__(self, *, int8: bool, data: Path | None) -> None:
        self.int8 = int8
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._names: set[str] = set()
        self._data: BinaryIO | None = data.open("wb") if data else None
        self._data_name = data.name if data else ""

    def node(self, kind: str, name: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output, which has its name."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, domain=domain, **attributes))
        return name

    def split(self, name: str, value: str, parts: int) -> list[str]:
        """Cut a value into equal parts along its last axis."""
        from onnx import helper

        outputs = [f"{name}.{number}" for number in range(parts)]
        self.nodes.append(helper.make_node("Split", [value], outputs, name=name, axis=-1, num_outputs=parts))
        return outputs

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        """Add a constant, once for each name."""
        if name in self._names:
            return name
        from onnx import numpy_helper

        self._names.add(name)
        plain = np.ascontiguousarray(value)
        if self._data is None or plain.nbytes <= _INLINE:
            self.constants.append(numpy_helper.from_array(plain.reshape(value.shape), name))
        else:
            self.constants.append(self._outside(name, plain, self._data))
        return name

    def integers(self, name: str, *values: int) -> str:
        """Add a constant list of integers."""
        return self.constant(name, np.asarray(values, np.int64))

    def linear(self, name: str, value: str, weight: npt.NDArray[Any], bias: npt.NDArray[Any]) -> str:
        """Add value @ weight + bias; weight has the shape (inputs, outputs)."""
        if not self.int8:
            product = self.node("MatMul", f"{name}.product", value, self.constant(f"{name}.weight", weight))
            return self.node("Add", name, product, self.constant(f"{name}.bias", bias))
        scale = (np.abs(weight).max(axis=0) / np.float32(127)).astype(np.float32)
        scale[scale == 0] = 1
        return self.node(
            "DynamicQuantizeMatMul",
            name,
            value,
            self.constant(f"{name}.weight", np.round(weight / scale).astype(np.int8)),
            self.constant(f"{name}.scale", scale),
            self.constant(f"{name}.zero", np.zeros(len(scale), np.int8)),
            self.constant(f"{name}.bias", bias),
            domain=MICROSOFT,
        )

    def rows(self, name: str, table: npt.NDArray[Any], indices: str) -> str:
        """Add a look-up of rows of a table."""
        from onnx import TensorProto

        if not self.int8:
            return self.node("Gather", name, self.constant(f"{name}.table", table), indices)
        scale = (np.abs(table).max(axis=1, keepdims=True) / np.float32(127)).astype(np.float32)
        scale[scale == 0] = 1
        whole = self.constant(f"{name}.table", np.round(table / scale).astype(np.int8))
        picked = self.node("Gather", f"{name}.picked", whole, indices)
        exact = self.node("Cast", f"{name}.float", picked, to=TensorProto.FLOAT)
        factor = self.node("Gather", f"{name}.factor", self.constant(f"{name}.scale", scale), indices)
        return self.node("Mul", name, exact, factor)

    def save(self, path: Path, inputs: list[Any], outputs: list[Any], name: str) -> None:
        """Write the model file."""
        from onnx import helper

        if self._data is not None:
            self._data.close()
        model = helper.make_model(
            helper.make_graph(self.nodes, name, inputs, outputs, self.constants),
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)],
            ir_version=IR_VERSION,
            producer_name="llmservice.convert",
        )
        path.write_bytes(model.SerializeToString(deterministic=True))

    def _outside(self, name: str, value: npt.NDArray[Any], data: BinaryIO) -> Any:
        from onnx import TensorProto, helper

        offset = -(-data.tell() // _ALIGNMENT) * _ALIGNMENT
        data.write(b"\0" * (offset - data.tell()))
        data.write(value.data.cast("B"))
        tensor = TensorProto(
            name=name,
            dims=value.shape,
            data_type=helper.np_dtype_to_tensor_dtype(value.dtype),
            data_location=TensorProto.EXTERNAL,
        )
        for key, text in (("location", self._data_name), ("offset", offset), ("length", value.nbytes)):
            tensor.external_data.add(key=key, value=str(text))
        return tensor
