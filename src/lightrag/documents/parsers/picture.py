"""Files that are pictures: there is no text but what a model says of them."""

from __future__ import annotations

from lightrag.documents.builder import TextBuilder
from lightrag.documents.decoding import describe_signature
from lightrag.documents.formats import Source
from lightrag.documents.limits import MIB
from lightrag.documents.pictures import bmp_to_png, inspect
from lightrag.errors import TooLarge, UnreadableDocument


def parse(source: Source, out: TextBuilder) -> None:
    """Note the picture."""
    content = source.path.read_bytes()
    facts = inspect(content)
    if facts is None:
        kind = describe_signature(content[:64])
        raise UnreadableDocument(
            f"'{source.name}' is not a PNG, JPEG, WebP, GIF, BMP or TIFF picture, or is cut off"
            + (f": it begins like {kind}." if kind else ". Open it in its own program and save it again as PNG.")
        )
    if facts.media_type == "image/bmp":
        content = bmp_to_png(content) or content
    most = source.pictures.max_bytes if source.pictures is not None else 0
    if len(content) > most:
        raise TooLarge(
            f"'{source.name}' has {len(content) / MIB:.1f} MiB as a picture; {most / MIB:.1f} MiB are sent to a model "
            "at most (LIGHTRAG_PICTURE_MAX_SIZE). Make it smaller, or save it as JPEG."
        )
    if not out.picture(lambda: content):
        raise UnreadableDocument(
            f"'{source.name}' is too small to be described: {facts.width} by {facts.height} pixels. Pictures from "
            f"{source.pictures.min_pixels if source.pictures is not None else 0} pixels on either side are "
            "(LIGHTRAG_PICTURE_MIN_PIXELS)."
        )
