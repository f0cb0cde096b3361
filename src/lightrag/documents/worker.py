"""The process that reads binary files: `python -m lightrag.documents.worker MEMORY_BYTES`.

It holds no secrets of the server, cannot write files or outgrow its memory, and may crash: the server starts another.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

from lightrag.documents import protocol
from lightrag.documents.builder import TextBuilder
from lightrag.documents.formats import Source, load_parser
from lightrag.documents.limits import ParseLimits
from lightrag.documents.pictures import PictureDesk, PictureRules
from lightrag.documents.running import run_parser
from lightrag.errors import LightRAGError
from lightrag.types import FoundPicture


def main() -> None:
    """Answer requests until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.dont_write_bytecode = True
    requests, answers = _take_pipes()
    limit_process(int(sys.argv[1]))
    while (request := _receive(requests)) is not None:
        answer(request, answers)
        answers.flush()


def answer(request: dict[str, Any], answers: BinaryIO) -> None:
    """Read one file and write the frames of the answer."""
    limits = ParseLimits(**request["limits"])
    _limit_cpu(limits.timeout_seconds)
    rules = PictureRules(**request["pictures"]) if request["pictures"] is not None else None
    source = Source(Path(request["path"]), request["name"], limits, request["password"], rules)
    sender = _TextSender(answers)
    try:
        out = TextBuilder(limits, sender.send, PictureDesk(rules) if rules is not None else None, sender.send_picture)
        summary = run_parser(load_parser(request["parser"]), request["label"], source, out)
        sender.flush()
    except LightRAGError as error:
        failure = {"error": type(error).__name__, "message": str(error), "peak_memory": _peak_memory()}
        answers.write(protocol.json_frame(protocol.FAILED, failure))
        return
    content: dict[str, Any] = {
        "pages": [dataclasses.astuple(page) for page in summary.pages],
        "title": summary.title,
        "warnings": summary.warnings,
        "peak_memory": _peak_memory(),
    }
    answers.write(protocol.json_frame(protocol.DONE, content))


def limit_process(memory_bytes: int) -> None:
    """Limit address space, forbid writing files and dumping core, where the system can."""
    try:
        import resource
    except ImportError:
        return
    limits = ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0))
    for kind, value in limits:
        try:
            resource.setrlimit(kind, (value, value))
        except (ValueError, OSError):
            # macOS refuses some; the time limit and the crash isolation stay.
            continue


def _limit_cpu(seconds: float) -> None:
    """Make sure that an endless loop ends even where the server that would stop it was killed."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = int(used.ru_utime + used.ru_stime + seconds) + 5
    if hard == resource.RLIM_INFINITY or soft < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _peak_memory() -> int:
    """Return the most bytes of memory that this process has held; 0 where unknown."""
    try:
        # Not from getrusage on Linux: that figure outlives exec, so it would be the server's.
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep the pipes to the server for ourselves: what a library prints must not land in an answer."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    return requests, answers


def _receive(requests: BinaryIO) -> dict[str, Any] | None:
    header = requests.read(protocol.HEADER.size)
    if len(header) < protocol.HEADER.size:
        return None
    _, length = protocol.HEADER.unpack(header)
    request: dict[str, Any] = json.loads(requests.read(length))
    return request


class _TextSender:
    """Gathers small pieces into frames."""

    def __init__(self, answers: BinaryIO) -> None:
        self._answers = answers
        self._parts: list[str] = []
        self._length = 0

    def send(self, text: str) -> None:
        """Take a piece; large ones are cut."""
        for start in range(0, len(text), protocol.TEXT_CHARACTERS):
            part = text[start : start + protocol.TEXT_CHARACTERS]
            self._parts.append(part)
            self._length += len(part)
            if self._length >= protocol.TEXT_CHARACTERS:
                self.flush()

    def send_picture(self, picture: FoundPicture) -> None:
        """Send a picture at once; it tells its place itself."""
        facts = {
            "media_type": picture.media_type,
            "offset": picture.offset,
            "page": picture.page,
            "size": len(picture.content),
        }
        self._answers.write(protocol.json_frame(protocol.PICTURE, facts))
        for start in range(0, len(picture.content), protocol.MAX_PAYLOAD):
            part = picture.content[start : start + protocol.MAX_PAYLOAD]
            self._answers.write(protocol.frame(protocol.PICTURE_BYTES, part))

    def flush(self) -> None:
        """Send what was gathered."""
        if self._parts:
            self._answers.write(protocol.frame(protocol.TEXT, "".join(self._parts).encode("utf-8")))
        self._parts.clear()
        self._length = 0


if __name__ == "__main__":
    main()
