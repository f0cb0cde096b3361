"""What errors say, and what they keep to themselves."""

from __future__ import annotations

import pytest

from lightrag.errors import ContextTooLong
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


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (413, '{"error":"Input validation error: `inputs` must have less than 512 tokens. Given: 600"}'),
        (413, "<html><head><title>413 Request Entity Too Large</title></head></html>"),
        (500, '{"error":{"message":"input is too large to process. increase the physical batch size"}}'),
        (500, '{"error":{"message":"input (600 tokens) is too large to process. (current batch size: 512)"}}'),
        (400, '{"error":{"message":"input (600 tokens) is larger than the max context size (512 tokens). skipping"}}'),
        (400, '{"error":"the input length exceeds the context length"}'),
        (400, '{"error":"Input length 600 exceeds maximum allowed token size 512"}'),
        (400, '{"message":"Input id 0 has 600 tokens, exceeding max 512 tokens."}'),
        (400, '{"detail":"The max allowed tokens per submitted batch is 512. Your batch has 600 tokens."}'),
        (500, '{"detail":"The size of tensor a (600) must match the size of tensor b (512) at dimension 1"}'),
        (422, '{"detail":"This prompt is too long"}'),
    ],
)
def test_servers_of_every_make_are_understood_when_they_find_a_text_too_long(status: int, body: str) -> None:
    assert isinstance(Endpoint("m", "http://h", "the name").from_status(status, body), ContextTooLong)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (
            400,
            '{"error":{"message":"max_tokens is too large: 9000. This model supports at most 4096 completion tokens"}}',
        ),
        (500, '{"error":{"message":"Deadline exceeded"}}'),
        (429, '{"error":{"message":"Too many tokens: the limit of input tokens per minute is exceeded by this text"}}'),
        (400, '{"error":{"message":"Unknown parameter: input_type"}}'),
    ],
)
def test_other_refusals_are_not_taken_for_a_text_that_is_too_long(status: int, body: str) -> None:
    assert not isinstance(Endpoint("m", "http://h", "the name").from_status(status, body), ContextTooLong)


def test_a_key_of_a_letter_leaves_words_readable() -> None:
    error = Endpoint("m", "http://h", "the name", "k").unreachable("Name or service not known, key k")
    assert "Name or service not known, key ***" in str(error)


def test_an_unknown_certificate_is_told_with_what_to_do() -> None:
    error = Endpoint("m", "http://h", "the name").unreachable(
        "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate"
    )
    assert "SSL_CERT_FILE" in str(error)
