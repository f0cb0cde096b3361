"""Whole workspaces: for the server's administrators, and to look at for whoever has a role in one."""

from __future__ import annotations

import asyncio
import dataclasses
from http import HTTPStatus
from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, Depends, File, Path, Request, UploadFile
from pydantic import Field
from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from lightrag.api.dependencies import PrincipalDep, ServerDep, documented_key
from lightrag.api.routers.access import ActorDep, ServerAdminDep
from lightrag.api.routers.responses import errors
from lightrag.api.schemas.workspaces import (
    ENTRY_EXAMPLE,
    ImportAnswer,
    RenameWish,
    WorkspaceAnswer,
    WorkspaceEntry,
    WorkspaceReport,
    WorkspaceWish,
)
from lightrag.api.workspace_choice import NO_ACCESS
from lightrag.errors import Forbidden, StorageUnavailable
from lightrag.finishing import to_the_end
from lightrag.tenancy.names import check_name
from lightrag.workspaces.scratch import Scratch
from lightrag.workspaces.tenants import Tenants

router = APIRouter(tags=["workspaces"], dependencies=[documented_key], responses=errors(400, 403, 404, 409, 503))

Name = Annotated[str, Path(min_length=1, max_length=1024, examples=["tenant-a"])]
ROOT = "-"
"""Stands for the root workspace, whose name is empty, in a path."""


async def get_tenants(server: ServerDep) -> Tenants:
    """Return the workspaces of this process."""
    if server.tenants is None:
        raise StorageUnavailable("The server is starting or stopping; try again in a moment")
    return server.tenants


TenantsDep = Annotated[Tenants, Depends(get_tenants)]


@router.get("/workspaces", operation_id="list_workspaces")
async def list_workspaces(
    tenants: TenantsDep, principal: PrincipalDep
) -> Annotated[list[WorkspaceEntry], Field(examples=[[ENTRY_EXAMPLE]])]:
    """Return the workspaces that you have a role in."""
    opened = {entry.workspace for entry in tenants.snapshot()}
    found: list[WorkspaceEntry] = []
    for name in await tenants.names():
        role = principal.role_in(name)
        if role is not None:
            found.append(
                WorkspaceEntry(name=name, is_default=name == tenants.default, is_open=name in opened, role=role)
            )
    return found


@router.post("/workspaces", operation_id="create_workspace", status_code=HTTPStatus.CREATED)
async def create_workspace(
    wish: WorkspaceWish, tenants: TenantsDep, actor: ActorDep, _admin: ServerAdminDep
) -> WorkspaceAnswer:
    """Create a workspace."""
    await tenants.create(wish.name, actor, description=wish.description, labels=wish.labels)
    return WorkspaceAnswer(message=f"Workspace '{wish.name}' was created", name=wish.name)


@router.get("/workspaces/{name}", operation_id="describe_workspace")
async def describe_workspace(name: Name, tenants: TenantsDep, principal: PrincipalDep) -> WorkspaceReport:
    """Return the sizes of a workspace, its models and what it has used; `-` stands for the root one."""
    name = "" if name == ROOT else name
    if principal.role_in(name) is None:
        raise Forbidden(NO_ACCESS)
    return WorkspaceReport(**dataclasses.asdict(await tenants.describe(name)))


@router.post("/workspaces/{name}/rename", operation_id="rename_workspace")
async def rename_workspace(
    name: Name, wish: RenameWish, server: ServerDep, tenants: TenantsDep, actor: ActorDep, _admin: ServerAdminDep
) -> WorkspaceAnswer:
    """Give a workspace another name; rights, models and usage go with it."""
    await tenants.rename(name, wish.new_name, actor)
    server.known_access.forget()
    return WorkspaceAnswer(message=f"Workspace '{name}' is named '{wish.new_name}'", name=wish.new_name)


@router.delete("/workspaces/{name}", operation_id="delete_workspace")
async def delete_workspace(
    name: Name, server: ServerDep, tenants: TenantsDep, actor: ActorDep, _admin: ServerAdminDep
) -> WorkspaceAnswer:
    """Remove a workspace with its documents, graph, files, keys, models, usage and rights, for good."""
    await tenants.delete(name, actor)
    server.known_access.forget()
    return WorkspaceAnswer(message=f"Workspace '{name}' was removed", name=name)


@router.get(
    "/workspaces/{name}/export",
    operation_id="export_workspace",
    response_class=FileResponse,
    responses={200: {"content": {"application/gzip": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def export_workspace(name: Name, tenants: TenantsDep, _admin: ServerAdminDep) -> FileResponse:
    """Return documents, graph, vectors and input files in one file, without keys and usage; `-` for the root one."""
    workspace = "" if name == ROOT else check_name(name)
    scratch = await asyncio.to_thread(Scratch, "export")
    target = scratch.folder / f"{workspace or 'root'}.lightrag.tar.gz"
    try:
        await tenants.export(workspace, target)
    except BaseException:
        await to_the_end(asyncio.to_thread(scratch.remove))
        raise
    return _PassingFile(scratch, target)


@router.post("/workspaces/{name}/import", operation_id="import_workspace", status_code=HTTPStatus.CREATED)
async def import_workspace(
    name: Name,
    request: Request,
    file: Annotated[UploadFile, File(description="What `export` returned.")],
    tenants: TenantsDep,
    actor: ActorDep,
    _admin: ServerAdminDep,
) -> ImportAnswer:
    """Make a new workspace from an exported one."""
    scratch = await asyncio.to_thread(Scratch, "import")
    source = scratch.folder / "archive.tar.gz"
    try:
        await _spool(file, source)
        facts = await tenants.import_archive(name, source, actor)
    finally:
        await to_the_end(asyncio.to_thread(scratch.remove))
    return ImportAnswer(message=f"Workspace '{name}' was imported", name=name, rows=facts.rows)


async def _spool(file: UploadFile, target: FilePath) -> None:
    with await asyncio.to_thread(target.open, "wb") as out:
        while piece := await file.read(1 << 20):
            await asyncio.to_thread(out.write, piece)


class _PassingFile(FileResponse):
    """A file that is removed once it was sent, or could not be."""

    def __init__(self, scratch: Scratch, file: FilePath) -> None:
        super().__init__(file, media_type="application/gzip", filename=file.name)
        self._scratch = scratch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await to_the_end(asyncio.to_thread(self._scratch.remove))
