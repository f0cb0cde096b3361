"""Keeps the compiled log of manual edits of a workspace, and never uses one that is out of date."""

from __future__ import annotations

from lightrag.indexing.edits import read_edits, read_version
from lightrag.indexing.overlay import Overlay, compile_log
from lightrag.storage.contracts import Storage


class Overlays:
    """The edits of one workspace, as this process knows them.

    Other processes edit too: every use reads the version of the log, which is one small row, through the storage (or
    transaction) that it is for. Inside a transaction that has changed the log itself it must not be asked: what is
    rolled back would be kept.
    """

    def __init__(self) -> None:
        self._latest = Overlay()

    @property
    def latest(self) -> Overlay:
        """The edits as they were when they were last looked up; for showing, never for storing."""
        return self._latest

    async def current(self, storage: Storage) -> Overlay:
        """Return the edits that hold."""
        version, known = await read_version(storage), self._latest
        if known.version == version:
            return known
        goes_on = bool(version.epoch) and known.version.epoch == version.epoch and known.version.last < version.last
        base = known if goes_on else Overlay()
        edits = await read_edits(storage, after=base.version.last) if version.epoch else []
        self._latest = compile_log(edits, version, base)
        return self._latest
