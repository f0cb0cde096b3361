"""Runs one parser on one file and turns whatever it raises into an error that tells what to do."""

from __future__ import annotations

from lightrag.documents.builder import Summary, TextBuilder
from lightrag.documents.formats import Parser, Source
from lightrag.documents.limits import MIB
from lightrag.errors import LightRAGError, TooLarge, UnreadableDocument

_XML_ERR_NO_MEMORY = 2


def run_parser(parser: Parser, label: str, source: Source, out: TextBuilder) -> Summary:
    """Read a file to its end. Raises UnreadableDocument or TooLarge, nothing else."""
    try:
        parser(source, out)
        return out.finish()
    except LightRAGError:
        raise
    except MemoryError:
        raise out_of_memory(source) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise UnreadableDocument(f"'{source.name}' cannot be opened: {reason}.") from error
    except Exception as error:
        if _is_out_of_memory(error):
            raise out_of_memory(source) from None
        detail = " ".join(str(error).split())[:300]
        raise UnreadableDocument(
            f"'{source.name}' cannot be read as {label} ({type(error).__name__}: {detail}). "
            "The file seems damaged: open it in its own program, save it again, and upload the result."
        ) from error


def _is_out_of_memory(error: Exception) -> bool:
    """Tell libxml2's XML_ERR_NO_MEMORY, which lxml raises as a syntax error, from a real one."""
    return isinstance(error, SyntaxError) and getattr(error, "code", None) == _XML_ERR_NO_MEMORY


def out_of_memory(source: Source) -> TooLarge:
    """Return the error of a file that needs more memory than a reader may use."""
    return TooLarge(
        f"'{source.name}' needs more than {source.limits.max_memory_bytes / MIB:.0f} MiB of memory to be read. "
        "Split it into smaller files."
    )
