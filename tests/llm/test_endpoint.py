"""What errors say, and what they keep to themselves."""

from __future__ import annotations

import pytest

from lightrag.llm.endpoint import Endpoint, public_url, retry_after_seconds


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("http://localhost:11434/", "http://localhost:11434"),
        ("https://user:secret@host/v1/?key=secret#x", "https://host/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("localhost:11434", "http://localhost:11434"),
    ],
)
def test_addresses_are_shown_without_what_is_secret_in_them(url: str, public: str) -> None:
    assert public_url(url) == public


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "-1"}, 0.0),
        ({"retry-after": "nonsense"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
    ],
)
def test_the_wait_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(headers) == seconds


@pytest.mark.parametrize(
    "body",
    [
        '{"error": {"message": "Incorrect API key provided: my-own-key"}}',
        '{"error": "Incorrect API key provided: sk-proj-abcdefgh12345"}',
        "Authorization: Bearer abc.def.ghi is not valid",
    ],
)
def test_keys_are_blotted_out_of_what_the_server_says(body: str) -> None:
    text = str(Endpoint("m", "http://h", "the name", "my-own-key").from_status(401, body))
    assert "***" in text
    assert "check the API key" in text
    assert not any(secret in text for secret in ("my-own-key", "abcdefgh", "abc.def"))


def test_long_answers_are_shown_in_part() -> None:
    text = str(Endpoint("m", "http://h", "the name").from_status(500, "x" * 10_000))
    assert len(text) < 600
