"""The files with which the server is deployed agree with the program and with each other."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightrag.settings import load_settings
from llmservice.config import read_settings

ROOT = Path(__file__).parents[2]
SERVERS = ("server", "gunicorn", "server-with-ollama", "server-with-llmservice")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return loaded


def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text()


def variables(tmp_path: Path) -> set[str]:
    return {name for line in load_settings(None, {}, tmp_path).describe() for name in line.variables}


def test_each_profile_starts_one_server(compose: dict[str, Any]) -> None:
    by_profile: dict[str, list[str]] = {}
    for name, service in compose["services"].items():
        assert service["profiles"], f"{name} would start whatever was asked for"
        if name in SERVERS:
            by_profile.setdefault(service["profiles"][0], []).append(name)
    assert by_profile == {
        "server": ["server"],
        "gunicorn": ["gunicorn"],
        "ollama": ["server-with-ollama"],
        "llmservice": ["server-with-llmservice"],
    }


def test_the_model_service_can_write_nothing_and_is_asked_at_its_own_address(compose: dict[str, Any]) -> None:
    service, server = compose["services"]["llmservice"], compose["services"]["server-with-llmservice"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "ports" not in service
    assert service["volumes"] == ["${MODELS_FOLDER:-./models}:/models:ro"]
    settings = read_settings(service["environment"], {}, {})
    address = f"http://llmservice:{settings.server.port}/v1"
    assert {server["environment"][f"{kind}_BINDING_HOST"] for kind in ("LLM", "EMBEDDING")} == {address}
    assert f":{settings.server.port}/health" in service["healthcheck"]["test"][-1]
    lock = f"requirements/{service['build']['args']['REQUIREMENTS']}.lock"
    assert "xllamacpp" in (ROOT / lock).read_text()


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_in_a_container_can_do_no_more_than_it_needs(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["ports"] == ["${LIGHTRAG_PUBLISH:-127.0.0.1:9621}:9621"]
    assert "privileged" not in service
    assert service["volumes"] == ["data:/app/data"]


@pytest.mark.parametrize("name", SERVERS)
def test_what_compose_sets_are_settings_of_the_server(compose: dict[str, Any], name: str, tmp_path: Path) -> None:
    environ = compose["services"][name]["environment"]
    assert set(environ) <= variables(tmp_path)
    settings = load_settings(None, environ, tmp_path)
    assert settings.server.port == 9621
    assert settings.paths.working_dir == Path("/app/data/rag_storage")
    assert settings.warnings == ()


def test_services_that_wait_for_others_name_services_and_volumes_that_there_are(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert set(service.get("depends_on", {})) <= set(compose["services"])
        for volume in service.get("volumes", []):
            assert volume.startswith("${") or volume.partition(":")[0] in compose["volumes"]


def test_what_containers_run_are_modules_of_the_program(compose: dict[str, Any]) -> None:
    commands = [service["entrypoint"] for service in compose["services"].values() if "entrypoint" in service]
    modules = {command[2] for command in commands if command[0] == "python"}
    modules |= set(re.findall(r'"-m", "([\w.]+)"', dockerfile()))
    assert modules == {
        "lightrag.api.healthcheck",
        "lightrag.api.lightrag_server",
        "lightrag.api.run_with_gunicorn",
        "llmservice",
    }
    assert all(importlib.util.find_spec(module) for module in modules)


def test_the_image_runs_as_nobody_special_and_is_given_no_secret(tmp_path: Path) -> None:
    final = dockerfile().rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001:10001$", final, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", final, re.MULTILINE)
    assert "COPY ." not in dockerfile()
    environ = dict(re.findall(r"\b([A-Z_]+)=(/app\S+)", final))
    assert environ == {"WORKING_DIR": "/app/data/rag_storage", "INPUT_DIR": "/app/data/inputs"}
    assert set(environ) <= variables(tmp_path)
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    assert ignored[1] == "*"
    assert "**/.env" in ignored


def test_everything_that_the_image_is_built_from_reaches_the_builder() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().split("\n") if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile(), re.MULTILINE)
    for source in (name for line in copied for name in line.split()):
        assert source in kept
        assert (ROOT / source).exists()


def test_the_dockerfile_has_no_bad_habits() -> None:
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_unit_starts_the_script_under_settings_that_the_server_knows(tmp_path: Path) -> None:
    unit = (ROOT / "lightrag.service.example").read_text()
    assert re.search(r"^ExecStart=/opt/lightrag/lightrag-api$", unit, re.MULTILINE)
    names = set(re.findall(r"^Environment=([A-Z_]+)=", unit, re.MULTILINE))
    assert names == {"WORKING_DIR", "INPUT_DIR"}
    assert names <= variables(tmp_path)
    assert re.search(r"^ProtectSystem=strict$", unit, re.MULTILINE)
    assert re.search(r"^StateDirectory=lightrag$", unit, re.MULTILINE)


def test_the_unit_can_be_read_by_systemd(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not installed")
    unit = (ROOT / "lightrag.service.example").read_text()
    # Account and program of the machine that runs the tests.
    unit = re.sub(r"^ExecStart=.*", "ExecStart=/bin/true", unit, flags=re.MULTILINE)
    unit = re.sub(r"^(User|Group)=.*\n", "", unit, flags=re.MULTILINE)
    (tmp_path / "lightrag.service").write_text(unit)
    done = subprocess.run(
        [analyze, "verify", "--man=no", tmp_path / "lightrag.service"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_variables_of_the_deployment_are_no_surprise_to_the_server(tmp_path: Path) -> None:
    text = (ROOT / "compose.yaml").read_text() + (ROOT / "deploy" / "lightrag-api").read_text()
    names = set(re.findall(r"\$\{(LIGHTRAG_[A-Z_]+)", text))
    assert names == {"LIGHTRAG_COMMAND", "LIGHTRAG_PUBLISH", "LIGHTRAG_TAG", "LIGHTRAG_VENV"}
    assert load_settings(None, dict.fromkeys(names, "x"), tmp_path).warnings == ()


def test_the_start_script_runs_the_command_of_its_environment(tmp_path: Path) -> None:
    script = ROOT / "deploy" / "lightrag-api"
    assert os.access(script, os.X_OK)
    commands = tmp_path / "venv" / "bin"
    commands.mkdir(parents=True)
    for name in ("lightrag-server", "lightrag-gunicorn"):
        (commands / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (commands / name).chmod(0o755)

    def start(**environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [script, "--port", "1001"],
            env={"PATH": os.environ["PATH"]} | environ,
            capture_output=True,
            text=True,
            check=False,
        )

    venv = str(tmp_path / "venv")
    assert start(LIGHTRAG_VENV=venv).stdout == "lightrag-server --port 1001\n"
    several = start(LIGHTRAG_VENV=venv, LIGHTRAG_COMMAND="lightrag-gunicorn")
    assert several.stdout == "lightrag-gunicorn --port 1001\n"
    lost = start(LIGHTRAG_VENV=str(tmp_path / "elsewhere"))
    assert lost.returncode == 2
    assert "set LIGHTRAG_VENV" in lost.stderr
