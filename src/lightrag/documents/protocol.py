"""What the server and a reader process say to each other over its standard input and output.

A frame is one byte of kind, four bytes of length (big endian), and the payload. The server sends one request frame
per file; the reader answers with any number of text frames and pictures, and then one frame that ends the answer. A
picture is a frame of JSON that tells what it is and how long, and frames with its bytes.
"""

from __future__ import annotations

import json
import struct
from typing import Any

HEADER = struct.Struct(">cI")
MAX_PAYLOAD = 16 * 1024 * 1024
TEXT_CHARACTERS = 256 * 1024
"""Text frames are filled to about this size."""

REQUEST = b"Q"
TEXT = b"T"
PICTURE = b"P"
PICTURE_BYTES = b"B"
DONE = b"D"
FAILED = b"E"


def frame(kind: bytes, payload: bytes) -> bytes:
    """Pack a frame."""
    return HEADER.pack(kind, len(payload)) + payload


def json_frame(kind: bytes, content: Any) -> bytes:
    """Pack a frame of JSON."""
    return frame(kind, json.dumps(content).encode())
