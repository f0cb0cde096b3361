"""Tags on the command line mean what they look like."""

from __future__ import annotations

import pytest
import typer

from lightrag.cli.tags import tags_of
from lightrag.types import TagValue


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024", 2024),
        ("-2", -2),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e5", 1e5),
        ("true", True),
        ("history", "history"),
        ("", ""),
        ("a=b", "a=b"),
        ("2024_05", "2024_05"),
        ("inf", "inf"),
        ("nan", "nan"),
        ("1e999", "1e999"),
        ("978316148410000000", "978316148410000000"),
    ],
)
def test_a_value_is_a_number_only_where_it_is_written_as_one(text: str, value: TagValue) -> None:
    [found] = tags_of([f"tag={text}"], "--tag").values()
    assert (found, type(found)) == (value, type(value))


def test_a_repeated_key_is_a_list() -> None:
    assert tags_of(["topic=a", "topic=b", "topic=1"], "--tag") == {"topic": ["a", "b", "1"]}


def test_a_pair_without_a_value_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="should be key=value"):
        tags_of(["year"], "--tag")
