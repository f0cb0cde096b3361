from __future__ import annotations

from pathlib import Path

import pytest

from lightrag.cli.files import collect
from lightrag.errors import InvalidInput

from .conftest import Run


def test_a_folder_is_indexed_with_all_below_it(run: Run, notes: Path, folder: Path) -> None:
    result = run("ingest", "notes")
    assert result.exit_code == 0
    assert result.stdout.startswith("2 new; 2 chunks")
    assert (folder / "inputs" / "notes" / "2024" / "cordouan.txt").is_file()


@pytest.mark.usefixtures("indexed")
def test_documents_are_named_after_the_folder_and_their_place_in_it(run: Run) -> None:
    assert "notes/2024/cordouan.txt" in run("search", "Where was the lens lit?").stdout


@pytest.mark.usefixtures("indexed")
def test_unchanged_files_are_skipped_and_changed_ones_updated(run: Run, folder: Path) -> None:
    notes = folder / "notes"
    assert run("ingest", "notes").stdout.startswith("2 unchanged")
    (notes / "ada.md").write_text("Grace Hopper wrote the first compiler.\n")
    result = run("ingest", "notes")
    assert result.stdout.startswith("1 changed, 1 unchanged")
    assert "Grace Hopper" in run("search", "Who wrote a compiler?").stdout
    assert "Babbage" not in run("search", "Who wrote notes?", "--path", "notes/ada.md").stdout


def test_what_cannot_be_read_is_listed_with_the_reason_and_the_rest_is_indexed(run: Run, notes: Path) -> None:
    (notes / "broken.pdf").write_text("not a PDF file")
    (notes / "empty.txt").touch()
    result = run("ingest", "notes")
    assert result.exit_code == 1
    assert result.stdout.startswith("2 new, 2 failed; 2 chunks")
    assert "failed: notes/empty.txt: The file is empty" in result.stdout
    assert "failed: notes/broken.pdf: " in result.stdout


def test_a_single_file_is_named_after_itself(run: Run, notes: Path) -> None:
    assert run("ingest", "notes/ada.md").exit_code == 0
    assert "ada.md" in run("search", "Ada Lovelace").stdout


def test_files_in_the_input_folder_are_not_copied(run: Run, folder: Path) -> None:
    (folder / "inputs").mkdir()
    (folder / "inputs" / "ada.txt").write_text("Ada Lovelace wrote notes.")
    assert run("ingest", "inputs").exit_code == 0
    assert [path.name for path in (folder / "inputs").rglob("*")] == ["ada.txt"]


def test_tags_can_be_asked_by(run: Run, notes: Path) -> None:
    run("ingest", "notes/ada.md", "--tag", "year=2024", "--tag", "topic=history")
    run("ingest", "notes/2024/cordouan.txt", "--tag", "year=2025")
    found = run("search", "Ada Lovelace and the Fresnel lens", "--filter-tag", "year=2025").stdout
    assert "cordouan.txt" in found
    assert "ada.md" not in found


def test_the_documents_of_an_interrupted_run_are_indexed_by_the_next(run: Run, notes: Path) -> None:
    accepted = run("ingest", "notes", "--no-wait")
    assert accepted.stdout.startswith("2 new; indexing goes on")
    assert run("verify").stdout.startswith("2 documents, 0 chunks")
    result = run("ingest", "notes")
    assert result.stdout.startswith("2 unchanged; 2 chunks")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "There is no file or folder 'nowhere'"),
        (["program.exe"], "is of a kind that cannot be read"),
        (["empty"], "Nothing to ingest"),
    ],
)
def test_wrong_paths_are_told_before_anything_is_done(
    run: Run, notes: Path, folder: Path, arguments: list[str], message: str
) -> None:
    (folder / "empty").mkdir()
    (folder / "program.exe").write_bytes(b"MZ")
    result = run("ingest", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (folder / "rag_storage").exists()


def test_a_tag_without_a_value_is_refused(run: Run, notes: Path) -> None:
    result = run("ingest", "notes", "--tag", "year")
    assert result.exit_code == 2
    assert "key=value" in result.stderr


async def test_two_files_of_one_name_are_refused(notes: Path) -> None:
    other = notes / "2024" / "ada.md"
    other.write_text("Another Ada.")
    with pytest.raises(InvalidInput, match=r"would both become the document 'ada\.md'"):
        await collect([notes / "ada.md", other])


async def test_a_file_given_twice_is_taken_once(notes: Path) -> None:
    assert len(await collect([notes, notes / "ada.md", notes])) == 2


def test_a_picture_is_refused_by_name_where_no_model_describes_it(run: Run, notes: Path) -> None:
    result = run("ingest", "notes/picture.png")
    assert result.exit_code == 1
    assert "image2text" in result.stdout + result.stderr
