"""The pictures of documents: which are worth describing, and what is known of them from their first bytes.

Nothing is decoded here but uncompressed bitmaps. Formats: PNG (W3C, section 5.2), JPEG (ITU-T T.81, annex B), GIF89a,
WebP container (RFC 9649), BMP (BITMAPINFOHEADER of the Windows API), TIFF 6.0.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import struct
import zlib

from lightrag.documents.limits import MIB

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
"""Of files that are pictures."""

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of JPEG frames, which hold the size."""
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_MOST_SIDE = 65_535


@dataclasses.dataclass(frozen=True, slots=True)
class PictureRules:
    """Which pictures of a document are taken."""

    max_count: int = 50
    """Of one document; 0 for none."""
    min_pixels: int = 64
    """Both sides have to have so many: smaller ones are bullets, lines and emblems."""
    max_bytes: int = 5 * MIB
    """Of one picture."""
    max_total_bytes: int = 32 * MIB
    """Of all pictures of a document."""


@dataclasses.dataclass(frozen=True, slots=True)
class PictureFacts:
    """What the first bytes of a picture tell."""

    media_type: str
    width: int
    height: int
    components: int = 0
    """Of a JPEG: 1 for grey, 3 for colours, 4 for printers' inks; 0 for others."""


class PictureDesk:
    """Takes the pictures of one document: each once, as far as the rules allow."""

    def __init__(self, rules: PictureRules) -> None:
        self.rules = rules
        self.taken = 0
        self.total = 0
        self.too_many = 0
        """Pictures left out because of their number or their size in all."""
        self.too_large = 0
        """Pictures left out because each is too large."""
        self.foreign = 0
        """Pictures left out because models take no pictures of their kind."""
        self._known: set[bytes] = set()

    @property
    def is_full(self) -> bool:
        """Whether no further picture is taken, so that it need not be made ready."""
        return self.taken >= self.rules.max_count or self.total >= self.rules.max_total_bytes

    def judge(self, content: bytes) -> tuple[bytes, str] | None:
        """Return a picture as it is sent to models, with its media type; None where it is left out."""
        digest = hashlib.sha256(content).digest()
        if digest in self._known:
            return None
        self._known.add(digest)
        facts = inspect(content)
        if facts is None:
            self.foreign += 1
            return None
        if min(facts.width, facts.height) < self.rules.min_pixels:
            return None
        media_type = facts.media_type
        if media_type == "image/bmp" and (png := bmp_to_png(content)) is not None:
            content, media_type = png, "image/png"
        if len(content) > self.rules.max_bytes:
            self.too_large += 1
        elif self.is_full or self.total + len(content) > self.rules.max_total_bytes:
            self.too_many += 1
        else:
            self.taken += 1
            self.total += len(content)
            return content, media_type
        return None

    def skip(self) -> None:
        """Count a picture that was not looked at because the desk is full."""
        self.too_many += 1

    def warnings(self) -> list[str]:
        """Tell what was left out."""
        found = []
        if self.too_many:
            found.append(
                f"{self.too_many} more picture(s) were not described: at most {self.rules.max_count} of a document are "
                "(LIGHTRAG_MAX_PICTURES)."
            )
        if self.too_large:
            found.append(
                f"{self.too_large} picture(s) of more than {self.rules.max_bytes / MIB:.1f} MiB were not described "
                "(LIGHTRAG_PICTURE_MAX_SIZE)."
            )
        if self.foreign:
            found.append(f"{self.foreign} picture(s) were not described: models take no pictures of their format.")
        return found


def inspect(content: bytes) -> PictureFacts | None:
    """Return kind and size in pixels of a picture; None where it is of no known kind, or cut off before its size."""
    try:
        found = _inspect(content)
    except (struct.error, IndexError):
        return None
    if found is None or not (0 < found.width <= _MOST_SIDE and 0 < found.height <= _MOST_SIDE):
        return None
    return found


def _inspect(content: bytes) -> PictureFacts | None:
    if content.startswith(_PNG) and content[12:16] == b"IHDR":
        return PictureFacts("image/png", *struct.unpack_from(">II", content, 16))
    if content.startswith(b"\xff\xd8\xff"):
        return _jpeg(content)
    if content.startswith((b"GIF87a", b"GIF89a")):
        return PictureFacts("image/gif", *struct.unpack_from("<HH", content, 6))
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return _webp(content)
    if content.startswith(b"BM"):
        return _bmp(content)
    if content.startswith((b"II*\0", b"MM\0*")):
        return _tiff(content)
    return None


def _jpeg(content: bytes) -> PictureFacts | None:
    position = 2
    while content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker in _JPEG_SIZES:
            height, width = struct.unpack_from(">HH", content, position + 5)
            return PictureFacts("image/jpeg", width, height, content[position + 9])
        if marker == 0xDA:
            return None
        position += 2
        if marker not in _JPEG_ALONE:
            position += struct.unpack_from(">H", content, position)[0]
    return None


def _webp(content: bytes) -> PictureFacts | None:
    kind = content[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", content, 26)
        return PictureFacts("image/webp", width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", content, 21)[0]
        return PictureFacts("image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X":
        width = int.from_bytes(content[24:27], "little") + 1
        return PictureFacts("image/webp", width, int.from_bytes(content[27:30], "little") + 1)
    return None


def _bmp(content: bytes) -> PictureFacts | None:
    if struct.unpack_from("<I", content, 14)[0] < 40:
        return None
    width, height = struct.unpack_from("<ii", content, 18)
    return PictureFacts("image/bmp", width, abs(height))


def _tiff(content: bytes) -> PictureFacts | None:
    order = "<" if content[0] == 0x49 else ">"
    start = struct.unpack_from(f"{order}I", content, 4)[0]
    count = struct.unpack_from(f"{order}H", content, start)[0]
    sizes = {}
    for number in range(count):
        entry = start + 2 + 12 * number
        tag, kind = struct.unpack_from(f"{order}HH", content, entry)
        if tag in (256, 257):
            sizes[tag] = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", content, entry + 8)[0]
    return PictureFacts("image/tiff", sizes[256], sizes[257]) if len(sizes) == 2 else None


def bmp_to_png(content: bytes) -> bytes | None:
    """Return an uncompressed bitmap of 24 or 32 bits per pixel as PNG; None for other bitmaps."""
    offset, _, width, height, _, depth, compression = struct.unpack_from("<IIiiHHI", content, 10)
    if compression or depth not in (24, 32):
        return None
    stride = (width * depth // 8 + 3) // 4 * 4
    rows = content[offset : offset + stride * abs(height)]
    if len(rows) < stride * abs(height):
        return None
    if height > 0:  # the rows stand from the bottom up
        starts = range(stride * (height - 1), -1, -stride)
        rows = b"".join(rows[start : start + stride] for start in starts)
    return png_of(rows, width, abs(height), stride, depth // 8)


def png_of(rows: bytes, width: int, height: int, stride: int, depth: int) -> bytes:
    """Return pixels as PNG.

    Args:
        rows: Height times stride bytes, from the top down; a pixel is one byte of grey, or blue, green, red and
            perhaps a fourth byte, which is left out.
        width: Pixels of a row.
        height: Rows.
        stride: Bytes from one row to the next.
        depth: Bytes of a pixel: 1, 3 or 4.
    """
    packer = zlib.compressobj(6)
    packed = []
    for number in range(height):
        row = rows[number * stride : number * stride + width * depth]
        if depth > 1:
            pixels = bytearray(3 * width)
            for place, source in ((0, 2), (1, 1), (2, 0)):
                pixels[place::3] = row[source::depth]
            row = bytes(pixels)
        packed.append(packer.compress(b"\0" + row))
    packed.append(packer.flush())
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if depth > 1 else 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", b"".join(packed)), (b"IEND", b""))
    return _PNG + b"".join(itertools.starmap(_chunk, chunks))


def thinned(rows: bytes, width: int, height: int, stride: int, depth: int, step: int) -> tuple[bytes, int, int]:
    """Return every `step`-th pixel of every `step`-th row, with the width and height that are left.

    The result has no gaps: its stride is its width times `depth`. Arguments as of `png_of`.
    """
    left = -(-width // step)
    kept = []
    for start in range(0, height * stride, stride * step):
        row = rows[start : start + width * depth]
        pixels = bytearray(left * depth)
        for place in range(depth):
            pixels[place::depth] = row[place :: depth * step]
        kept.append(bytes(pixels))
    return b"".join(kept), left, len(kept)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
