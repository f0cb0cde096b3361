"""Names from outside become safe names or are refused."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightrag.documents.names import resolve_inside, safe_file_name
from lightrag.errors import InvalidInput


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("  spaced name .txt ", "spaced name .txt"),
        ("../../etc/passwd.txt", "etcpasswd.txt"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("a\x00b\n.txt", "ab.txt"),
        ("report..pdf", "report.pdf"),
        (".hidden.md", "hidden.md"),
        ("Übersicht 世界.md", "Übersicht 世界.md"),
        (unicodedata.normalize("NFD", "Café.txt"), "Café.txt"),
        ("invoice\u202efdp.exe.txt", "invoicefdp.exe.txt"),
        ("CON.txt", "_CON.txt"),
        ("console.txt", "console.txt"),
    ],
)
def test_safe_names(name: str, safe: str) -> None:
    assert safe_file_name(name) == safe


@pytest.mark.parametrize("name", ["", "   "])
def test_empty_names(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"^Filename cannot be empty$"):
        safe_file_name(name)


@pytest.mark.parametrize("name", ["..", "/", "../..", ". .", "\x00", "...."])
def test_names_of_which_nothing_is_left(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"^Invalid filename after sanitization$"):
        safe_file_name(name)


def test_names_that_no_file_system_takes() -> None:
    with pytest.raises(InvalidInput, match="too long"):
        safe_file_name("ä" * 200 + ".txt")


@given(st.text())
def test_a_safe_name_is_one_path_part_and_stays_as_it_is(name: str) -> None:
    try:
        safe = safe_file_name(name)
    except InvalidInput:
        return
    assert Path(safe).name == safe
    assert ".." not in safe
    assert safe.isprintable() or any(
        unicodedata.category(char) in ("Cf", "Zs", "Zl", "Zp", "Cn", "Co") for char in safe
    )
    assert safe_file_name(safe) == safe
    safe.encode("utf-8")


def test_paths_inside_are_resolved(tmp_path: Path) -> None:
    assert resolve_inside(tmp_path, "a.txt") == tmp_path.resolve() / "a.txt"
    assert resolve_inside(tmp_path, "sub/b.txt") == tmp_path.resolve() / "sub" / "b.txt"


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "sub/../../x", ".", "", "a\x00b"])
def test_paths_outside_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="Unsafe filename detected"):
        resolve_inside(tmp_path, name)


def test_links_that_lead_outside_are_refused(tmp_path: Path) -> None:
    inside = tmp_path / "inputs"
    inside.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (inside / "link.txt").symlink_to(tmp_path / "secret.txt")
    (inside / "out").symlink_to(tmp_path)
    for name in ("link.txt", "out/secret.txt"):
        with pytest.raises(InvalidInput, match="Unsafe filename detected"):
            resolve_inside(inside, name)
