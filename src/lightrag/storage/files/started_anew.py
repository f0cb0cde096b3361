"""Scripts start anew by deleting LightRAG's data files and nothing else, as LightRAG's examples do at their begin.

What this server keeps beside them would then speak of data that are gone. It is set aside, not deleted, and the kept
answers of models stay in use, so that indexing the same texts again costs nothing.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from lightrag.storage.files import layout
from lightrag.storage.files.lock import LOCK_FILE
from lightrag.storage.files.manifest import Manifest

DATA_FILES = frozenset(
    {layout.GRAPH, layout.DOC_STATUS, layout.FULL_DOCS, layout.TEXT_CHUNKS, *layout.VECTOR_FILES.values()}
)
"""What examples delete; whoever loses files by accident hardly loses just these, and all of them."""
ASIDE = "previous"
_log = logging.getLogger(__name__)


def set_aside_if_started_anew(folder: Path, known: Manifest | None) -> Manifest | None:
    """Return the manifest; None, with all that it speaks of set aside, where all data files were deleted."""
    if known is None or not known.files.keys() >= DATA_FILES or any((folder / name).exists() for name in DATA_FILES):
        return known
    own = folder / layout.OWN_FOLDER
    aside = own / ASIDE
    _log.warning("%s: all data files were deleted; starting anew, what lay beside them is in %s", folder, aside)
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    for path in own.iterdir():
        if path.name not in {ASIDE, LOCK_FILE}:
            path.rename(aside / path.name)
    for name in layout.TRACKING_FILES:
        if (folder / name).exists():
            (folder / name).rename(aside / name)
    return None
