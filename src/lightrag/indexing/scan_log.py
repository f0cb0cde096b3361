"""How scans of the input folder went, kept in the workspace, so that every process can tell."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any, Literal

from lightrag.storage.contracts import Namespace, Storage
from lightrag.types import JsonObject

KEY = "scans"
KEPT = 50
"""Scans that are remembered."""
SILENT_SECONDS = 60.0
"""A running scan of which nothing was heard for so long has died with its process."""
SAMPLES = 20

ScanState = Literal["running", "completed", "failed", "cancelled", "abandoned"]


@dataclasses.dataclass(slots=True)
class ScanReport:
    """One scan: counts and some names by what happened to files."""

    track_id: str
    status: ScanState = "running"
    created_at: float = dataclasses.field(default_factory=time.time)
    """Unix seconds."""
    updated_at: float = dataclasses.field(default_factory=time.time)
    version: int = 0
    message: str = ""
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    samples: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def note(self, kind: str, what: str = "") -> None:
        """Count a file, and keep `what` as an example."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if what and len(listed := self.samples.setdefault(kind, [])) < SAMPLES:
            listed.append(what[:300])

    def dropped(self, kind: str) -> int:
        """Return how many files of a kind are not among its examples."""
        return self.counts.get(kind, 0) - len(self.samples.get(kind, ()))


class ScanLog:
    """The latest scans of one workspace."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def save(self, report: ScanReport) -> None:
        """Store how a scan goes."""
        report.updated_at = time.time()
        report.version += 1
        async with self._storage.transaction() as tx:
            rows = await _rows(tx)
            rows[report.track_id] = dataclasses.asdict(report)
            latest = sorted(rows, key=lambda key: float(rows[key]["created_at"]))[-KEPT:]
            await tx.kv(Namespace.META).put({KEY: {"scans": {key: rows[key] for key in latest}}})

    async def find(self, track_id: str) -> ScanReport | None:
        """Return a scan; one whose process died is `abandoned`."""
        row = (await _rows(self._storage)).get(track_id)
        if row is None:
            return None
        report = ScanReport(**row)
        if report.status == "running" and time.time() - report.updated_at > SILENT_SECONDS:
            report.status = "abandoned"
            report.message = "The process that scanned is gone; scan again"
        return report


async def _rows(storage: Storage) -> dict[str, Any]:
    row: Mapping[str, Any] = (await storage.kv(Namespace.META).get([KEY])).get(KEY, {})
    scans: JsonObject = dict(row.get("scans", {}))
    return scans
