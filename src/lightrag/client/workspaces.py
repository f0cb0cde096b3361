"""Whole workspaces: made, described, moved, removed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightrag.client.decoding import many
from lightrag.client.multipart import Multipart, Progress, UploadSource, upload_file
from lightrag.client.operations import AsyncPart, Part, SyncPart, endpoint
from lightrag.client.records import Workspace, WorkspaceDone, WorkspaceEntry
from lightrag.client.requests import Wish, given

ROOT = "-"
"""Stands for the root workspace, whose name is empty."""


class WorkspaceCalls(Part):
    """Calls on workspaces."""

    @endpoint("GET", "/workspaces", many(WorkspaceEntry.read))
    def list(self) -> Wish:
        """Return the workspaces that you have a role in."""
        return Wish()

    @endpoint("POST", "/workspaces", WorkspaceDone.read)
    def create(self, name: str, *, description: str | None = None, labels: Mapping[str, Any] | None = None) -> Wish:
        """Create a workspace."""
        return Wish(json={"name": name, **given(description=description, labels=labels)})

    @endpoint("GET", "/workspaces/{name}", Workspace.read)
    def describe(self, name: str) -> Wish:
        """Return the sizes of a workspace; an empty name stands for the root one."""
        return Wish(path={"name": name or ROOT})

    @endpoint("POST", "/workspaces/{name}/rename", WorkspaceDone.read)
    def rename(self, name: str, new_name: str) -> Wish:
        """Give a workspace another name; rights, models and usage go with it."""
        return Wish(path={"name": name}, json={"new_name": new_name})

    @endpoint("DELETE", "/workspaces/{name}", WorkspaceDone.read)
    def delete(self, name: str) -> Wish:
        """Remove a workspace with its documents, graph, files, keys, models, usage and rights, for good."""
        return Wish(path={"name": name})

    @endpoint("GET", "/workspaces/{name}/export", lambda data: None)
    def export(self, name: str, target: str | Path) -> Wish:
        """Write documents, graph, vectors and input files into one file, without keys and usage.

        The file appears when it is complete; one that is there is replaced.
        """
        return Wish(path={"name": name or ROOT}, handling="save", target=Path(target), accept="application/gzip")

    @endpoint("POST", "/workspaces/{name}/import", WorkspaceDone.read)
    def import_archive(self, name: str, source: UploadSource, *, progress: Progress | None = None) -> Wish:
        """Make a new workspace from an exported one."""
        return Wish(
            path={"name": name}, upload=Multipart([upload_file(source, "archive.tar.gz")], {}, progress=progress)
        )


class Workspaces(WorkspaceCalls, SyncPart):
    """Whole workspaces."""


class AsyncWorkspaces(WorkspaceCalls, AsyncPart):
    """Whole workspaces."""
