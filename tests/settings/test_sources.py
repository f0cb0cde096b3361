"""Where a setting may be set, and which place wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightrag.errors import ConfigurationError
from lightrag.settings import Settings, load_settings


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, encoding="utf-8")


def origin(settings: Settings, group: str, name: str) -> str:
    return next(line.origin for line in settings.describe() if (line.group, line.name) == (group, name))


def test_nothing_is_needed(tmp_path: Path) -> None:
    settings = load_settings([], {}, tmp_path)
    assert (settings.server.host, settings.server.port) == ("0.0.0.0", 9621)
    assert settings.paths.working_dir == tmp_path / "rag_storage"
    assert settings.paths.input_dir == tmp_path / "inputs"
    assert settings.storage.kv == "SQLiteKVStorage"
    assert settings.llm.binding is None
    assert settings.warnings == ()


def test_command_line_beats_environment_beats_dotenv_beats_default(tmp_path: Path) -> None:
    write(tmp_path, ".env", "PORT=1003\nTOP_K=13\nMAX_ASYNC=3\n")
    settings = load_settings(["--port", "1001"], {"PORT": "1002", "TOP_K": "12"}, tmp_path)
    assert settings.server.port == 1001
    assert settings.query.top_k == 12
    assert settings.llm.max_async == 3
    assert settings.query.chunk_top_k == 20


def test_config_ini_gives_storages_and_the_environment_beats_it(tmp_path: Path) -> None:
    write(tmp_path, "config.ini", "[storage]\nkv_storage = FromIniKV\ngraph_storage = FromIniGraph\n")
    settings = load_settings([], {"LIGHTRAG_GRAPH_STORAGE": "FromEnvGraph"}, tmp_path)
    assert settings.storage.kv == "FromIniKV"
    assert settings.storage.graph == "FromEnvGraph"
    assert origin(settings, "storage", "kv") == "config.ini [storage] kv_storage"


def test_config_ini_gives_nothing_but_storages(tmp_path: Path) -> None:
    write(tmp_path, "config.ini", "[server]\nport = 1\n")
    settings = load_settings([], {}, tmp_path)
    assert settings.server.port == 9621
    assert settings.warnings == ("[server] port in config.ini is not used",)


def test_the_key_in_the_environment_beats_the_one_on_the_command_line(tmp_path: Path) -> None:
    settings = load_settings(["--key", "from-option"], {"LIGHTRAG_API_KEY": "from-env"}, tmp_path)
    assert settings.server.api_key is not None
    assert settings.server.api_key.get_secret_value() == "from-env"


def test_an_empty_value_counts_as_not_set(tmp_path: Path) -> None:
    write(tmp_path, ".env", "LLM_BINDING_API_KEY=\nPORT=\n")
    settings = load_settings([], {"TOP_K": "  "}, tmp_path)
    assert settings.server.port == 9621
    assert settings.query.top_k == 40
    assert settings.llm.api_key is None


def test_relative_folders_lie_below_the_current_one(tmp_path: Path) -> None:
    settings = load_settings(["--working-dir", "data/store", "--input-dir", "/srv/in"], {}, tmp_path)
    assert settings.paths.working_dir == tmp_path / "data" / "store"
    assert settings.paths.input_dir == Path("/srv/in")


@pytest.mark.parametrize("word", ["true", "1", "yes", "t", "on", "TRUE"])
def test_ways_to_say_yes(tmp_path: Path, word: str) -> None:
    assert load_settings([], {"VERBOSE": word}, tmp_path).server.verbose is True


def test_the_dotenv_file_may_have_quotes_comments_and_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbf# ours\nexport PORT='1005' # a comment\n")
    assert load_settings([], {}, tmp_path).server.port == 1005


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    environ = {"TOP_K": "many", "LIGHTRAG_EXTRACTOR": "magic", "ENTITY_TYPES": "[1"}
    with pytest.raises(ConfigurationError) as caught:
        load_settings(["--port", "99999"], environ, tmp_path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert "--port is '99999' (command line): input should be less than or equal to 65535" in lines
    assert "TOP_K is 'many' (environment): input should be a valid integer" in str(caught.value)
    assert "LIGHTRAG_EXTRACTOR is 'magic' (environment): input should be 'auto', 'llm' or 'nlp'" in lines


def test_settings_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"CHUNK_OVERLAP_SIZE \(300\) must be less than CHUNK_SIZE \(200\)"):
        load_settings([], {"CHUNK_SIZE": "200", "CHUNK_OVERLAP_SIZE": "300"}, tmp_path)


def test_https_needs_both_files(tmp_path: Path) -> None:
    write(tmp_path, "cert.pem", "")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(["--ssl", "--ssl-certfile", "cert.pem", "--ssl-keyfile", "absent.pem"], {}, tmp_path)
    assert str(caught.value) == "--ssl-keyfile: there is no file absent.pem"


def test_a_damaged_config_ini_is_refused_without_quoting_it(tmp_path: Path) -> None:
    write(tmp_path, "config.ini", "[storage]\nhunter2 is my password\n")
    with pytest.raises(ConfigurationError) as caught:
        load_settings([], {}, tmp_path)
    assert "config.ini cannot be read" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_misspelt_variable_is_pointed_out(tmp_path: Path) -> None:
    settings = load_settings([], {"LLM_MODLE": "x", "EMBEDDING_COLOUR": "red", "SOMETHING_ELSE": "1"}, tmp_path)
    assert settings.warnings == (
        "EMBEDDING_COLOUR (environment) is not known",
        "LLM_MODLE (environment) is not known; did you mean LLM_MODEL?",
    )


def test_a_variable_of_lightrag_without_a_subject_here_is_pointed_out(tmp_path: Path) -> None:
    environ = {"RELATED_CHUNK_NUMBER": "5", "MINERU_LANGUAGE": "en", "LIGHTRAG_PARSER": "*:native"}
    write(tmp_path, ".env", "NEO4J_URI=neo4j://localhost\nPOSTGRES_HOST=localhost\nPOSTGRES_PORT=5432\n")
    assert load_settings([], environ, tmp_path).warnings == (
        "LIGHTRAG_PARSER, MINERU_LANGUAGE (environment) have no effect here: files are read by the built-in readers",
        "RELATED_CHUNK_NUMBER (environment) has no effect here: "
        "passages are ranked together with those that search finds",
        "NEO4J_URI, POSTGRES_HOST, POSTGRES_PORT (.env) have no effect here: no storage that uses it is chosen",
    )


def test_an_unknown_option_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load_settings(["--colour", "red"], {}, tmp_path)
    assert caught.value.code == 2
    assert "--colour" in capsys.readouterr().err


def test_help_names_every_option_with_its_variable_and_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        load_settings(["--help"], {}, tmp_path)
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--port PORT port to listen on (default: 9621) [PORT]" in text
    assert "[LLM_BINDING_HOST] base URL of the model server" in text
    for line in load_settings([], {}, tmp_path).describe():
        assert all(name in text for name in line.variables)


def test_describe_tells_every_value_and_its_origin_but_no_secret(tmp_path: Path) -> None:
    write(tmp_path, ".env", "LLM_BINDING_API_KEY=sk-hidden\n")
    environ = {"LIGHTRAG_API_KEY": "hidden-too", "PDF_DECRYPT_PASSWORD": "hidden-three", "EXTRACT_LLM_MODEL": "small"}
    settings = load_settings(["--port", "1001"], environ, tmp_path)
    assert origin(settings, "server", "port") == "command line --port"
    assert origin(settings, "llm", "api_key") == ".env LLM_BINDING_API_KEY"
    assert origin(settings, "query", "top_k") == "default"
    assert origin(settings, "llm", "extract.model") == "environment EXTRACT_LLM_MODEL"
    shown = repr(settings.describe()) + repr(settings) + settings.model_dump_json()
    assert "hidden" not in shown
    assert "********" in shown


def test_an_unusable_secret_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings([], {"LIGHTRAG_API_KEY": "hidden", "PORT": "x"}, tmp_path)
    assert "hidden" not in str(caught.value)


def test_an_option_of_lightrag_without_a_subject_here_is_accepted_and_pointed_out(tmp_path: Path) -> None:
    settings = load_settings(["--namespace-prefix", "a", "--docling", "--port", "1001"], {}, tmp_path)
    assert settings.server.port == 1001
    assert settings.warnings == (
        "--namespace-prefix has no effect here: workspaces keep data apart, see WORKSPACE",
        "--docling has no effect here: files are read by the built-in readers",
    )


def test_a_misspelt_variable_in_the_file_is_pointed_out_whatever_it_begins_with(tmp_path: Path) -> None:
    write(tmp_path, ".env", "MAX_ASNYC=8\nMY_OWN=1\n")
    settings = load_settings([], {"WORKRES": "4"}, tmp_path)
    assert settings.warnings == ("MAX_ASNYC (.env) is not known; did you mean MAX_ASYNC?",)


@pytest.mark.parametrize(
    ("argv", "expected"), [(["--verbose"], True), (["--verbose", "True"], True), (["--verbose", "false"], False)]
)
def test_a_switch_may_have_a_value(tmp_path: Path, argv: list[str], expected: bool) -> None:
    assert load_settings(argv, {"VERBOSE": "true"}, tmp_path).server.verbose is expected


def test_parameters_of_the_model_server_are_options_too(tmp_path: Path) -> None:
    argv = ["--openai-llm-temperature", "0.2", "--ollama-llm-num_ctx", "4096"]
    environ = {"OPENAI_LLM_TEMPERATURE": "0.9", "LLM_BINDING": "openai"}
    assert load_settings(argv, environ, tmp_path).llm.options == {"temperature": 0.2}
    assert load_settings(argv, {"LLM_BINDING": "ollama"}, tmp_path).llm.options["num_ctx"] == 4096


def test_names_that_lightrag_had_earlier_still_set_what_they_set(tmp_path: Path) -> None:
    environ = {"MAX_EMBED_TOKENS": "512", "MAX_TOKEN_ENTITY_DESC": "700", "MAX_TOKEN_SUMMARY": "300", "MAX_ASYNC": "9"}
    settings = load_settings([], environ, tmp_path)
    assert settings.embedding.token_limit == 512
    assert settings.query.max_entity_tokens == 700
    assert settings.indexing.summary_length_recommended == 300
    assert settings.llm.max_async == 9


def test_who_names_one_storage_leaves_the_others_to_its_family(tmp_path: Path) -> None:
    settings = load_settings([], {"LIGHTRAG_GRAPH_STORAGE": "NetworkXStorage"}, tmp_path)
    assert settings.storage.graph == "NetworkXStorage"
    assert (settings.storage.kv, settings.storage.vector, settings.storage.doc_status) == ("", "", "")


def test_the_command_line_is_that_of_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        load_settings(["--help"], {}, tmp_path, program="lightrag-gunicorn")
    text = capsys.readouterr().out
    assert text.startswith("usage: lightrag-gunicorn")
    assert "--workers" in text
