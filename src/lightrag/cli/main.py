"""The command `lightrag`. Each command imports what it needs when it is run, so that help comes at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lightrag.cli.access_commands import audit, keys_app, token_app, user_app
from lightrag.cli.edit_commands import edits_app
from lightrag.cli.running import Where, run
from lightrag.cli.tags import tags_of
from lightrag.cli.usage_commands import usage
from lightrag.cli.workspace_commands import workspace_app
from lightrag.types import MODES, DocumentFilter, Mode

app = typer.Typer(
    name="lightrag",
    help=(
        "Documents in, a knowledge graph, answers with references out.\n\n"
        "Commands work on the workspace in ./rag_storage, or on a running server with --url. Settings come from the "
        "environment and from the file .env in the current folder, as for lightrag-server."
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
config_app = typer.Typer(help="Look at the settings.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(config_app, name="config")
app.add_typer(edits_app, name="edits")
app.add_typer(workspace_app, name="workspace")
app.add_typer(token_app, name="token")
app.add_typer(user_app, name="user")
app.add_typer(keys_app, name="keys")

Url = Annotated[str | None, typer.Option("--url", help="Work on the server at this address.", show_default=False)]
ApiKey = Annotated[
    str | None,
    typer.Option("--api-key", help="Key of that server; by default LIGHTRAG_API_KEY.", show_default=False),
]
WorkingDir = Annotated[
    Path | None,
    typer.Option("--working-dir", help="Folder of the databases; by default ./rag_storage.", show_default=False),
]
InputDir = Annotated[
    Path | None,
    typer.Option("--input-dir", help="Folder of the documents' files; by default ./inputs.", show_default=False),
]
Workspace = Annotated[
    str | None, typer.Option("--workspace", help="Name of the workspace; by default WORKSPACE.", show_default=False)
]
ModeOption = Annotated[str, typer.Option("--mode", "-m", help=f"How to search: {', '.join(MODES)}.")]
Doc = Annotated[
    list[str] | None,
    typer.Option("--doc", help="Only in the document with this id; may be repeated.", show_default=False),
]
PathPattern = Annotated[
    list[str] | None,
    typer.Option("--path", help="Only in documents of this path or pattern, such as 'notes/*.md'.", show_default=False),
]
FilterTag = Annotated[
    list[str] | None,
    typer.Option("--filter-tag", help="Only in documents with this tag, as key=value.", show_default=False),
]
TopK = Annotated[
    int | None, typer.Option("--top-k", min=1, max=1000, help="Entities or relations to find.", show_default=False)
]
ChunkTopK = Annotated[
    int | None, typer.Option("--chunk-top-k", min=1, max=1000, help="Passages to find.", show_default=False)
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", help="Chat model to answer with, as name@provider, or by its name alone.", show_default=False
    ),
]
RerankModel = Annotated[
    str | None,
    typer.Option("--rerank-model", help="Model to reorder passages with, named likewise.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders; folders with all below them.")],
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", help="Tag for the documents, as key=value; may be repeated.", show_default=False),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until everything is indexed.")] = True,
    url: Url = None,
    api_key: ApiKey = None,
    working_dir: WorkingDir = None,
    input_dir: InputDir = None,
    workspace: Workspace = None,
) -> None:
    """Index files and folders.

    Unchanged files are skipped, changed ones updated. A file is named after the folder that was given and its place
    below it. Exit status: 0 when all is indexed, 1 when a file failed (its reason is printed), 2 for wrong use.
    """
    from lightrag.cli.ingest import ingest as work

    where = Where(url, api_key, working_dir, input_dir, workspace)
    raise typer.Exit(run(work(where, paths, tags_of(tag, "--tag"), waits=wait)))


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="The question.")],
    mode: ModeOption = "mix",
    stream: Annotated[bool, typer.Option("--stream/--no-stream", help="Print the answer as it is written.")] = True,
    doc: Doc = None,
    path: PathPattern = None,
    filter_tag: FilterTag = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", help="Instructions on how to answer.", show_default=False)
    ] = None,
    top_k: TopK = None,
    chunk_top_k: ChunkTopK = None,
    model: Model = None,
    rerank_model: RerankModel = None,
    explain: Annotated[bool, typer.Option("--explain", help="Tell which model wrote the answer.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    api_key: ApiKey = None,
    working_dir: WorkingDir = None,
    workspace: Workspace = None,
) -> None:
    """Answer a question, with references.

    References name document, page and characters. Exit status 1 where a model fails.
    """
    from lightrag.cli.questions import ask as work
    from lightrag.cli.targets import Question

    asked = Question(
        question, _mode(mode), _filter(doc, path, filter_tag), top_k, chunk_top_k, prompt, model, rerank_model
    )
    where = Where(url, api_key, working_dir, workspace=workspace)
    raise typer.Exit(run(work(where, asked, streams=stream, explains=explain, as_json=as_json)))


@app.command()
def search(
    question: Annotated[str, typer.Argument(help="The question.")],
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Tell which lists found a passage, at which rank, and what else was found."),
    ] = False,
    mode: ModeOption = "mix",
    doc: Doc = None,
    path: PathPattern = None,
    filter_tag: FilterTag = None,
    top_k: TopK = None,
    chunk_top_k: ChunkTopK = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", help="Chat model to name the keywords, as name@provider, or by its name.", show_default=False
        ),
    ] = None,
    rerank_model: RerankModel = None,
    as_json: AsJson = False,
    url: Url = None,
    api_key: ApiKey = None,
    working_dir: WorkingDir = None,
    workspace: Workspace = None,
) -> None:
    """Show what is found for a question.

    Prints passages, best first, without an answer. Exit status 1 where there are none.
    """
    from lightrag.cli.questions import search as work
    from lightrag.cli.targets import Question

    found = _filter(doc, path, filter_tag)
    asked = Question(question, _mode(mode), found, top_k, chunk_top_k, model=model, rerank_model=rerank_model)
    where = Where(url, api_key, working_dir, workspace=workspace)
    raise typer.Exit(run(work(where, asked, explains=explain, as_json=as_json)))


@app.command()
def doctor(
    as_json: AsJson = False,
    url: Url = None,
    api_key: ApiKey = None,
    working_dir: WorkingDir = None,
    input_dir: InputDir = None,
    workspace: Workspace = None,
) -> None:
    """Tell what works and what to mend.

    Prints what is configured and where that was set, looks at folders, storage and integrity, and asks every
    configured model one short question. Exit status 1 where something is broken.
    """
    from lightrag.cli.doctor import doctor as work

    where = Where(url, api_key, working_dir, input_dir, workspace)
    raise typer.Exit(run(work(where, as_json=as_json)))


@app.command()
def probe(
    kind: Annotated[
        str | None,
        typer.Argument(help="chat, embedding or rerank; by default all that are configured.", show_default=False),
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Address of the server to try instead.", show_default=False)
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Model to try instead.", show_default=False)] = None,
    binding: Annotated[
        str | None,
        typer.Option("--binding", help="Its binding; by default openai, for rerank auto.", show_default=False),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", envvar="PROBE_API_KEY", help="Its key.", show_default=False, show_envvar=True),
    ] = None,
    context: Annotated[
        int, typer.Option("--context", min=0, help="Longest prompt to try, in tokens; costs twice as many. 0: none.")
    ] = 16384,
    as_json: AsJson = False,
) -> None:
    """Find out what a model server can do.

    Tries whether it is reached and takes the key, whether the model is there, how long prompts and answers may be,
    streaming, JSON, tools; dimension, number and length of texts; the rerank dialect. Prints the settings to use.
    Exit status 1 where something that is needed does not work.
    """
    from lightrag.cli.probe import KINDS, Endpoint
    from lightrag.cli.probe import probe as work

    chosen = next((name for name in KINDS if name == kind), None)
    if kind is not None and chosen is None:
        raise typer.BadParameter(f"'{kind}' is not one of {', '.join(KINDS)}", param_hint="kind")
    raise typer.Exit(run(work(chosen, Endpoint(binding, host, key, model), most_context=context, as_json=as_json)))


@app.command()
def verify(
    as_json: AsJson = False,
    working_dir: WorkingDir = None,
    input_dir: InputDir = None,
    workspace: Workspace = None,
) -> None:
    """Check that stored data agree.

    Compares graph, vectors and text index with the documents that they are derived from; changes nothing. Exit
    status 1 where something does not agree. Run it when no document is being indexed.
    """
    from lightrag.cli.maintenance import verify as work

    raise typer.Exit(run(work(_here(working_dir, input_dir, workspace), as_json=as_json)))


@app.command()
def repair(
    re_embed: Annotated[
        bool, typer.Option("--re-embed", help="Make all vectors anew, after a change of the embedding model.")
    ] = False,
    working_dir: WorkingDir = None,
    input_dir: InputDir = None,
    workspace: Workspace = None,
) -> None:
    """Mend what verify finds.

    Derived data are made again from what is stored of the documents; no language model is asked twice.
    """
    from lightrag.cli import maintenance

    where = _here(working_dir, input_dir, workspace)
    raise typer.Exit(run(maintenance.re_embed(where) if re_embed else maintenance.repair(where)))


@app.command()
def retry(working_dir: WorkingDir = None, input_dir: InputDir = None, workspace: Workspace = None) -> None:
    """Try failed documents again.

    What has succeeded is not done again. Exit status 1 where some fail again.
    """
    from lightrag.cli.maintenance import retry as work

    raise typer.Exit(run(work(_here(working_dir, input_dir, workspace))))


@app.command()
def migrate(
    source: Annotated[str, typer.Option("--from", help="Where the data are: files, sqlite.")],
    target: Annotated[str, typer.Option("--to", help="Where they are to be: files, sqlite.")],
    target_dir: Annotated[
        Path | None,
        typer.Option("--target-dir", help="Working folder of the copy; by default the same.", show_default=False),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Delete what is in the target first, and begin anew.")
    ] = False,
    working_dir: WorkingDir = None,
    workspace: Workspace = None,
) -> None:
    """Copy a workspace to other storages.

    Both sides are compared at the end; then the workspace is opened from the new ones. The former data stay where
    they are. An interrupted copy goes on where it stopped. Stop the server before.
    """
    from lightrag.cli.migrate import migrate as work

    where = _here(working_dir, None, workspace)
    raise typer.Exit(run(work(where, source, target, target_dir=target_dir, restarts=restart)))


@app.command("hash-password")
def hash_password(
    scheme: Annotated[str, typer.Option("--scheme", help="argon2 or bcrypt.")] = "argon2",
) -> None:
    """Print the hash of a password, for AUTH_ACCOUNTS.

    Asks for the password, or reads the first line of the standard input. It is never an argument: those can be seen
    by other users of the machine.
    """
    from lightrag.cli.passwords import hash_password as work

    if scheme not in {"argon2", "bcrypt"}:
        raise typer.BadParameter(f"'{scheme}' is not argon2 or bcrypt", param_hint="--scheme")
    raise typer.Exit(work("bcrypt" if scheme == "bcrypt" else "argon2"))


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    typer.echo(f"lightrag-server {installed('lightrag-server')}")


app.command("usage")(usage)
app.command("audit")(audit)


@config_app.command("show")
def config_show(
    changed: Annotated[bool, typer.Option("--changed", help="Only what is not at its default.")] = False,
    as_json: AsJson = False,
    working_dir: WorkingDir = None,
    input_dir: InputDir = None,
    workspace: Workspace = None,
) -> None:
    """Print the settings.

    Each with its value and what set it; secrets are masked.
    """
    from lightrag.cli.maintenance import show_config

    where = _here(working_dir, input_dir, workspace)

    async def work() -> int:
        return show_config(where, changed_only=changed, as_json=as_json)

    raise typer.Exit(run(work()))


def _here(working_dir: Path | None, input_dir: Path | None, workspace: str | None) -> Where:
    return Where(working_dir=working_dir, input_dir=input_dir, workspace=workspace)


def _mode(mode: str) -> Mode:
    if mode not in MODES:
        raise typer.BadParameter(f"'{mode}' is not one of {', '.join(MODES)}", param_hint="--mode")
    return mode


def _filter(docs: list[str] | None, paths: list[str] | None, tags: list[str] | None) -> DocumentFilter:
    return DocumentFilter(tuple(docs or ()), tuple(paths or ()), tags_of(tags, "--filter-tag"))


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
