"""The log file of a server with several processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lightrag.api.log_files import SharedRotatingFile

WRITER = """
import logging, sys
from pathlib import Path
from lightrag.api.log_files import SharedRotatingFile
handler = SharedRotatingFile(Path(sys.argv[1]), max_bytes=4000, backups=20)
log = logging.getLogger("writer")
log.addHandler(handler)
for number in range(300):
    log.warning("%s wrote line %s of its own", sys.argv[2], number)
"""


def test_no_line_is_lost_or_torn_when_several_processes_write_and_rotate(tmp_path: Path) -> None:
    path = tmp_path / "lightrag.log"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in ("first", "second")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    files = sorted(tmp_path.glob("lightrag.log*"))
    lines = [line for file in files if file.suffix != ".lock" for line in file.read_text().splitlines()]
    assert sorted(lines) == sorted(
        f"{name} wrote line {n} of its own" for name in ("first", "second") for n in range(300)
    )
    assert len(files) > 4
    assert all(file.stat().st_size <= 4000 for file in files)


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    import logging

    handler = SharedRotatingFile(tmp_path / "a.log", max_bytes=10_000, backups=1)
    record = logging.LogRecord("name", logging.INFO, "", 0, "a line", (), None)
    handler.emit(record)
    (tmp_path / "a.log").rename(tmp_path / "moved.log")
    handler.emit(record)
    handler.close()
    assert (tmp_path / "a.log").read_text() == (tmp_path / "moved.log").read_text() == "a line\n"
