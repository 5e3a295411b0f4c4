"""The image's recipe fits the service that it carries."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from service.errors import SettingsError
from service.settings import Settings, from_environment

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "deploy/service.Dockerfile").read_text()


def instructions() -> list[tuple[str, str]]:
    """Every instruction and its text, on one line each."""
    lines = [line for line in TEXT.splitlines() if line and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(word, text) for word, _, text in (line.partition(" ") for line in joined.splitlines())]


def image() -> dict[str, str]:
    """The instructions of the last stage; of several of one kind, the last."""
    found = instructions()
    last = max(index for index, (word, _) in enumerate(found) if word == "FROM")
    arguments = dict(text.split("=") for word, text in found[last:] if word == "ARG")
    return {word: filled(text, arguments) for word, text in found[last:]}


def filled(text: str, arguments: dict[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], text)


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in image()["ENV"].split())


def exec_form(text: str) -> list[str]:
    command: list[str] = json.loads(text[text.index("[") :])
    return command


def test_any_docker_can_build_it() -> None:
    bases = [text.split()[0] for word, text in instructions() if word == "FROM"]

    assert "syntax=" not in TEXT
    assert "<<" not in TEXT
    assert [base for base in bases if "/" in base or base.endswith(":latest")] == []


def test_it_runs_as_a_numbered_user_who_is_not_root() -> None:
    user, group = image()["USER"].split(":")

    assert int(user) > 0
    assert int(group) > 0


def test_it_carries_the_service_and_the_contracts_only() -> None:
    copied = [text for word, text in instructions() if word == "COPY" and "--from" not in text]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()

    assert copied == ["pyproject.toml README.md ./", "protos protos", "service service"]
    assert {line[1:] for line in ignored if line.startswith("!")} == {
        "pyproject.toml",
        "README.md",
        "protos",
        "service",
    }


def test_its_environment_names_settings() -> None:
    named = {name: value for name, value in environment().items() if name.startswith("STATEWISE_")}
    settings = from_environment(named)

    assert {f"STATEWISE_{name.upper()}" for name in settings} == set(named)
    assert (settings["host"], settings["metrics_host"]) == ("0.0.0.0", "0.0.0.0")


def test_it_lets_nobody_in_by_default() -> None:
    settings = from_environment(environment())

    with pytest.raises(SettingsError, match="--insecure-any-host"):
        Settings.build(settings)
    assert Settings.build(settings | {"token_file": Path("callers.toml")}).host == "0.0.0.0"


def test_nothing_in_it_reports_to_others() -> None:
    assert environment()["ORT_DISABLE_TELEMETRY"] == "1"


def test_what_the_pages_build_is_what_the_recipe_and_the_package_offer() -> None:
    shown = "\n".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    built = re.findall(r"^    docker build (.+)$", shown, re.MULTILINE)
    offered = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert built
    for words in map(str.split, built):
        name, _, extras = words[words.index("--build-arg") + 1].partition("=")
        assert (ROOT / words[words.index("-f") + 1]).is_file()
        assert f"ARG {name}=" in TEXT
        assert set(extras.split(",")) <= offered["optional-dependencies"].keys()


def test_it_exposes_the_default_ports() -> None:
    settings = Settings(model_repository=Path())

    assert image()["EXPOSE"].split() == [str(settings.port), str(settings.metrics_port)]


@pytest.mark.parametrize("kind", ["HEALTHCHECK", "CMD"])
def test_its_commands_are_the_services(kind: str) -> None:
    python = exec_form(image()["ENTRYPOINT"])
    command = exec_form(image()[kind])
    whole = command if kind == "HEALTHCHECK" else python + command

    assert whole[:3] == ["python", "-m", "service"]
    subprocess.run([sys.executable, *whole[1:], "--help"], cwd=ROOT, check=True, timeout=60)


def test_it_is_stopped_by_the_signal_that_drains() -> None:
    assert image()["STOPSIGNAL"] == "SIGTERM"
