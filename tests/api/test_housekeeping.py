"""Prompts that a chat front end writes itself are told from questions, and answered even without a model."""

from __future__ import annotations

import json

import pytest

from lightrag.api.faces.housekeeping import is_housekeeping, offline_answer

CHAT = "USER: /mix Who wrote the first program, and for which machine was it?\nASSISTANT: Ada Lovelace [1]."
HISTORY = f"### Chat History:\n<chat_history>\n{CHAT}\n</chat_history>"
TITLE = f'### Task:\nGenerate a title of the chat.\n### Output:\nJSON format: {{ "title": "your title" }}\n{HISTORY}'
TAGS = f'### Task:\nGenerate tags.\n\n### Output:\nJSON format: {{ "tags": ["tag1", "tag2"] }}\n\n{HISTORY}'
FOLLOW_UPS = f'### Task:\nSuggest questions.\n### Output:\nJSON format: {{ "follow_ups": ["Question 1?"] }}\n{HISTORY}'
QUERIES = f'### Task:\nWhich searches?\n### Output:\nStrictly return: {{\n  "queries": ["query1"]\n}}\n\n{HISTORY}\n'
IMAGE = (
    f'### Task:\nDescribe an image.\n### Output:\n{{\n    "prompt": "Your detailed description here."\n}}\n{HISTORY}'
)
COMPLETION = (
    '### Task:\nContinue `<text>`.\nReturn `{ "text": "" }`.\n---\n### Context:\n<chat_history>\n\n</chat_history>\n'
    "<type>search query</type>  \n<text>how do I</text>  \n#### Output:\n"
)
CUSTOM = f"# Title Generator\nYou name chats.\n{HISTORY}"
OLD_TITLE = "Create a concise, 3-5 word phrase with an emoji as a title for the previous query. The query: Hello"
EMOJI = (
    "Your task is to reflect the speaker's likely facial expression through a fitting emoji. Interpret.\n\n"
    "Message: ```Hello```"
)
MERGED = (
    'You have been provided with a set of responses from various models to the latest user query: "Who?"\n\n'
    'Combine them.\n\nResponses from models: """Ada."""'
)
TOOLS = 'Available Tools: [{"name": "clock"}]\n\nReturn { "tool_calls": [] }'

UNSTREAMED = [TITLE, TAGS, FOLLOW_UPS, QUERIES, IMAGE, COMPLETION, CUSTOM, OLD_TITLE, EMOJI, MERGED]


@pytest.mark.parametrize("prompt", UNSTREAMED, ids=lambda prompt: prompt[:40])
def test_prompts_of_a_front_end_are_told_from_questions(prompt: str) -> None:
    assert is_housekeeping(prompt, streamed=False)


@pytest.mark.parametrize("prompt", [TITLE, TAGS, FOLLOW_UPS, QUERIES, IMAGE, COMPLETION, EMOJI, MERGED])
def test_they_are_told_in_a_stream_too(prompt: str) -> None:
    assert is_housekeeping(prompt, streamed=True)


def test_lightrags_own_mark_is_enough_where_nothing_is_streamed() -> None:
    assert is_housekeeping("Name this chat\n<chat_history>\nUSER: hello", streamed=False)


def test_a_choice_of_tools_is_told_by_its_instructions() -> None:
    assert is_housekeeping('Query: History:\nUSER: """hi"""\nQuery: hi', TOOLS, streamed=False)
    assert not is_housekeeping("Which tools are there?", "Available Tools: hammer", streamed=False)


@pytest.mark.parametrize(
    "question",
    [
        "Who wrote the first program?",
        "### Task:\nSummarise chapter two.\n### Output:\nJSON",
        "### Task:\nRespond to the query using the provided context.\n<context>\nx\n</context>\n<user_query>Who?",
        "What does <chat_history> mean in Open WebUI's prompts?",
        f"Why does Open WebUI send this?\n```\n{TITLE}\n```\nExplain.",
        "Generate a title for my thesis on Ada Lovelace",
        'Which JSON keys may I use: "title", "tags" or "follow_ups"?',
        "What is your task? Reflect the speaker's likely facial expression.",
        "<chat_history> is a tag. Which others are there?",
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
def test_questions_of_people_are_not_taken_for_them(question: str, streamed: bool) -> None:
    assert not is_housekeeping(question, streamed=streamed)


def test_a_streamed_question_about_a_pasted_prompt_stays_a_question() -> None:
    assert not is_housekeeping(f"{TITLE}\n\nWhat is this prompt for?", streamed=True)
    assert not is_housekeeping(CUSTOM, streamed=True)


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        (TITLE, {"title": "Who wrote the first program, and"}),
        (TAGS, {"tags": ["General"]}),
        (FOLLOW_UPS, {"follow_ups": []}),
        (QUERIES, {"queries": ["Who wrote the first program, and for which machine was it?"]}),
        (COMPLETION, {"text": ""}),
    ],
)
def test_without_a_model_the_answer_has_the_asked_form(prompt: str, answer: dict[str, object]) -> None:
    assert json.loads(offline_answer(prompt)) == answer


def test_without_a_model_a_plain_title_is_the_question_shortened() -> None:
    assert offline_answer(CUSTOM) == "Who wrote the first program, and"
    assert offline_answer("Title!\n<chat_history>\n\n</chat_history>") == "Conversation"
    assert offline_answer(EMOJI) == "💬"
    assert offline_answer(MERGED) == '"""Ada."""'
    assert json.loads(offline_answer("Query: hi", TOOLS)) == {"tool_calls": []}
