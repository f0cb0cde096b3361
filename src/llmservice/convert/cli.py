"""The command `llmservice convert SOURCE TARGET [--int8]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from llmservice.convert.converter import convert_directory
from llmservice.errors import ServiceError


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert a directory; return the exit status: 0, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(
        prog="llmservice convert",
        description="Make model.onnx out of the Hugging Face directory of BGE-M3, or of an embedder or reranker of "
        "the BERT or XLM-RoBERTa family.",
    )
    parser.add_argument("source", type=Path, help="directory with config.json, tokenizer.json and the weights")
    parser.add_argument("target", type=Path, help="directory to write into; is made if need be")
    parser.add_argument("--int8", action="store_true", help="round weights to int8, one scale per output channel")
    chosen = parser.parse_args(arguments)
    try:
        made = convert_directory(chosen.source, chosen.target, int8=chosen.int8)
    except (ServiceError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{made}\n")
    return 0
