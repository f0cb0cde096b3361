"""`lightrag migrate`: copy a workspace to another storage family."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from lightrag.cli.running import OK, Where, console
from lightrag.errors import InvalidInput
from lightrag.storage.choice import record_family
from lightrag.storage.migrate import PartReport, Progress
from lightrag.storage.registry import family_named, family_of_folder, make_storage, workspace_folder


async def migrate(where: Where, source_name: str, target_name: str, *, target_dir: Path | None, restarts: bool) -> int:
    """Copy the workspace, compare both sides, and have it opened from the new storage from then on."""
    from lightrag.storage.migrate import migrate as copy

    paths = where.settings().paths
    source, target = family_named(source_name), family_named(target_name)
    folder = workspace_folder(paths.working_dir, paths.workspace)
    new_folder = workspace_folder(target_dir or paths.working_dir, paths.workspace)
    if (source.name, folder) == (target.name, new_folder):
        raise InvalidInput(f"--from and --to are the same ({source.name} in {folder}); there is nothing to do")
    if family_of_folder(folder, (source,)) is None:
        raise InvalidInput(f"{folder}: there are no data of the storages '{source.name}'")
    if folder == new_folder:
        # Until the copy is complete, the workspace is the one that it was.
        record_family(folder, source.name)
    old, new = make_storage(source, folder, paths.workspace), make_storage(target, new_folder, paths.workspace)
    async with contextlib.AsyncExitStack() as stack:
        for storage in (old, new):
            stack.push_async_callback(storage.close)
            await storage.open()
        if restarts:
            await new.drop()
        with _progress() as progress:
            reports = await copy(old, new, progress=progress)
    record_family(new_folder, target.name)
    _tell(reports, source.name, folder, target.name, new_folder)
    return OK


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description:<20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=console(on_stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(part: str, done: int, total: int) -> None:
            if part not in tasks:
                tasks[part] = bars.add_task(part, total=None)
            bars.update(tasks[part], completed=done, total=total or None)

        yield tell


def _tell(reports: Sequence[PartReport], source: str, folder: Path, target: str, new_folder: Path) -> None:
    out = console()
    for report in reports:
        out.print(f"{report.name:<24} {report.rows:>8}  {report.checksum}", markup=False)
    out.print(f"The workspace is now in {new_folder} ({target}), and the same as before.", markup=False)
    out.print(f"The former data are still in {folder} ({source}); remove them when you like.", markup=False)
