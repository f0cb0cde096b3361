"""What a chat message asks for by its prefix, and a model by its name."""

from __future__ import annotations

import pytest

from lightrag.api.faces.model_names import ModelName, SimulatedModel, model_names, parse_model_name
from lightrag.api.faces.prefixes import Asked, parse_prefix
from lightrag.api.faces.stops import StopCutter
from lightrag.settings import load_settings

OWN = SimulatedModel("lightrag", "latest")


@pytest.mark.parametrize(
    ("message", "asked"),
    [
        ("Who wrote it?", Asked("Who wrote it?")),
        ("/local Who wrote it?", Asked("Who wrote it?", "local")),
        ("/global  Who?", Asked("Who?", "global")),
        ("/naive\nWho?", Asked("Who?", "naive")),
        ("/hybrid Who?", Asked("Who?", "hybrid")),
        ("/mix 唐僧有几个徒弟", Asked("唐僧有几个徒弟", "mix")),
        ("/bypass Hello", Asked("Hello", "bypass")),
        ("  /local Who?", Asked("Who?", "local")),
        ("/context Who?", Asked("Who?", "mix", context_only=True)),
        ("/contextWho?", Asked("Who?", "mix", context_only=True)),
        ("/localcontext Who?", Asked("Who?", "local", context_only=True)),
        ("/globalcontext Who?", Asked("Who?", "global", context_only=True)),
        ("/hybridcontext Who?", Asked("Who?", "hybrid", context_only=True)),
        ("/naivecontext Who?", Asked("Who?", "naive", context_only=True)),
        ("/mixcontext Who?", Asked("Who?", "mix", context_only=True)),
        ("/local[use mermaid] Draw it", Asked("Draw it", "local", instructions="use mermaid")),
        ("/[use mermaid] Draw it", Asked("Draw it", instructions="use mermaid")),
        ("/mix[use\nmermaid]\nDraw it\nnow", Asked("Draw it\nnow", "mix", instructions="use\nmermaid")),
        ("/bypass[be brief] Hello", Asked("Hello", "bypass", instructions="be brief")),
        ("/context[all] Who?", Asked("Who?", "mix", context_only=True, instructions="all")),
        ("/local", Asked("", "local")),
        ("/localhost is down?", Asked("/localhost is down?")),
        ("/Local Who?", Asked("/Local Who?")),
        ("/etc/hosts[1] means what?", Asked("/etc/hosts[1] means what?")),
        ("/etc[1] means what?", Asked("/etc[1] means what?")),
        ("What does /local do?", Asked("What does /local do?")),
        ("", Asked("")),
    ],
)
def test_a_prefix_says_how_to_answer(message: str, asked: Asked) -> None:
    assert parse_prefix(message) == asked


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("lightrag", ModelName("lightrag")),
        ("lightrag:latest", ModelName("lightrag:latest")),
        ("lightrag:naive", ModelName("lightrag:naive", mode="naive")),
        ("lightrag@tenant-a", ModelName("lightrag@tenant-a", "tenant-a")),
        ("lightrag@tenant-a:latest", ModelName("lightrag@tenant-a:latest", "tenant-a")),
        ("lightrag@tenant-a:local", ModelName("lightrag@tenant-a:local", "tenant-a", "local")),
        ("lightrag:large", None),
        ("lightrag@:latest", None),
        ("lightrag@-a", None),
        ("lightrag@a/b", None),
        ("llama3.2:latest", None),
        ("", None),
    ],
)
def test_a_models_name_says_workspace_and_mode(name: str, asked: ModelName | None) -> None:
    assert parse_model_name(name, OWN) == asked


@pytest.mark.parametrize(
    ("environ", "arguments", "name"),
    [
        ({}, [], "lightrag:latest"),
        ({"OLLAMA_EMULATING_MODEL_NAME": "library"}, [], "library:latest"),
        ({"OLLAMA_EMULATING_MODEL_TAG": "v2"}, [], "lightrag:v2"),
        ({"SIMULATED_MODEL_NAME": "library:v1"}, [], "library:v1"),
        ({"SIMULATED_MODEL_NAME": "library"}, [], "library"),
        ({"SIMULATED_MODEL_NAME": "old:v1", "OLLAMA_EMULATING_MODEL_NAME": "new"}, [], "new:latest"),
        ({}, ["--simulated-model-name", "library:v1"], "library:v1"),
        ({}, ["--simulated-model-name", "library", "--simulated-model-tag", "v3"], "library:v3"),
        ({"OLLAMA_EMULATING_MODEL_NAME": "env"}, ["--simulated-model-name", "line"], "line:latest"),
    ],
)
def test_the_name_comes_from_the_settings_of_every_era(
    environ: dict[str, str], arguments: list[str], name: str, tmp_path: object
) -> None:
    settings = load_settings(arguments, environ, tmp_path)  # type: ignore[arg-type]
    own = SimulatedModel.of(settings.server)
    assert own.full_name == name
    assert all(parse_model_name(other, own) for other in (name, *model_names(own)))


def test_a_stop_text_ends_an_answer_wherever_its_pieces_are_cut() -> None:
    for size in range(1, 12):
        text = "one two END three"
        cutter = StopCutter(["END", "###"])
        said = "".join(cutter.feed(text[at : at + size]) for at in range(0, len(text), size)) + cutter.finish()
        assert said == "one two "
    assert StopCutter(["END"]).cut("no end, but EN") == "no end, but EN"
    assert StopCutter([]).cut("as it is") == "as it is"
