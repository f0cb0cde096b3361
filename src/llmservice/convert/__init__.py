"""Makes ONNX models out of Hugging Face directories: BGE-M3 with three outputs, BERT and XLM-RoBERTa families.

Neither torch nor the network is needed; the package `onnx` is, which the extra `convert` brings.
"""

from llmservice.convert.cli import main
from llmservice.convert.converter import convert_directory

__all__ = ["convert_directory", "main"]
