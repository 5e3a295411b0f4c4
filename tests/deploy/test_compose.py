"""docker-compose.yml keeps what its comments promise, and agrees with the service's settings."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from service.settings import Settings, from_environment

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = Settings(model_repository=Path())
# After the drain the server lets the last statuses leave, and its process has to end.
SECONDS_AFTER_DRAIN = 5


def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(ROOT / name)
    return loaded


SERVICES = load("docker-compose.yml")["services"]
SERVERS = {name: service for name, service in SERVICES.items() if "build" in service}


def seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_can_do_little(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert "privileged" not in service
    assert "cap_add" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_every_port_is_published_on_loopback(name: str) -> None:
    ports = SERVICES[name].get("ports", [])

    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_starts_with_the_environment_of_its_service(name: str) -> None:
    given = SERVERS[name]["environment"] | {"STATEWISE_HOST": "0.0.0.0"}

    assert Settings.build({"model_repository": Path(), **from_environment(given)}).anonymous


def test_one_server_starts_by_default() -> None:
    assert [name for name, service in SERVICES.items() if "profiles" not in service] == [
        "statewise"
    ]


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_is_not_killed_while_it_drains(name: str) -> None:
    grace = seconds(SERVERS[name]["stop_grace_period"])

    assert grace >= SETTINGS.drain_seconds + SECONDS_AFTER_DRAIN


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_publishes_the_ports_of_its_settings(name: str) -> None:
    inside = [int(port.split(":")[-1]) for port in SERVERS[name]["ports"]]

    assert inside == [SETTINGS.port, SETTINGS.metrics_port]


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_cannot_write_its_models(name: str) -> None:
    (volume,) = SERVERS[name]["volumes"]

    assert volume["target"] == "/models"
    assert volume["read_only"]


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_is_built_from_arguments_that_its_dockerfile_takes(name: str) -> None:
    build = SERVERS[name]["build"]
    dockerfile = (ROOT / build["dockerfile"]).read_text()

    for argument in build.get("args", {}):
        assert f"ARG {argument}=" in dockerfile


def shown() -> list[list[str]]:
    """The words behind `docker compose` wherever a page or the file itself shows them."""
    pages = [ROOT / "docker-compose.yml", ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    lines = re.findall(
        r"^(?:#   |    )docker compose (.+?)(?:  .*)?$",
        "\n".join(page.read_text() for page in pages),
        re.MULTILINE,
    )
    return [shlex.split(line, comments=True) for line in lines]


def test_every_command_that_is_shown_names_services_and_profiles_that_there_are() -> None:
    profiles = {"*"}.union(*(service.get("profiles", []) for service in SERVICES.values()))
    named = set()
    for words in shown():
        if words[0] == "--profile":
            assert words[1] in profiles
            words = words[2:]
        assert words[0] in ("up", "stop", "down")
        named |= set(words[1:])

    assert named == {"statewise-cuda", "statewise-redis", "prometheus", "grafana"}
    assert named < SERVICES.keys()


def test_the_gpu_server_asks_for_a_gpu() -> None:
    (device,) = SERVICES["statewise-cuda"]["deploy"]["resources"]["reservations"]["devices"]

    assert device["capabilities"] == ["gpu"]
    assert SERVICES["statewise-cuda"]["build"]["args"]["PROVIDER"] == "cuda"


def test_states_in_redis_are_kept_on_a_volume_and_reached_by_the_server_alone() -> None:
    redis, server = SERVICES["redis"], SERVICES["statewise-redis"]
    options = dict(zip(redis["command"][1::2], redis["command"][2::2], strict=True))

    assert "ports" not in redis
    assert redis["volumes"] == ["redis:/data"]
    assert "redis" in load("docker-compose.yml")["volumes"]
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert redis["healthcheck"]["test"] == ["CMD", "redis-cli", "ping"]
    assert server["environment"]["STATEWISE_STATE_STORE"] == "redis://redis:6379/0"
    assert server["depends_on"] == {"redis": {"condition": "service_healthy"}}


def test_prometheus_reads_the_servers_metrics() -> None:
    settings = load("deploy/prometheus/prometheus.yml")
    (job,) = settings["scrape_configs"]
    mounted = dict(volume.split(":")[:2] for volume in SERVICES["prometheus"]["volumes"])

    assert mounted["./deploy/prometheus/prometheus.yml"] == "/etc/prometheus/prometheus.yml"
    for name in settings["rule_files"]:
        assert mounted[f"./deploy/prometheus/{name}"] == f"/etc/prometheus/{name}"
    assert job["static_configs"] == [{"targets": [f"statewise:{SETTINGS.metrics_port}"]}]
    assert "statewise" in SERVICES["statewise-cuda"]["networks"]["default"]["aliases"]


@pytest.mark.parametrize("name", SERVICES)
def test_files_that_are_mounted_are_here(name: str) -> None:
    mounted = [volume for volume in SERVICES[name].get("volumes", []) if isinstance(volume, str)]

    assert [
        one for one in mounted if one[0] == "." and not (ROOT / one.split(":")[0]).exists()
    ] == []


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    (source,) = load("deploy/grafana/provisioning/datasources/prometheus.yml")["datasources"]
    (provider,) = load("deploy/grafana/provisioning/dashboards/statewise.yml")["providers"]
    targets = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]

    assert source["url"] == "http://prometheus:9090"
    assert f"{provider['options']['path']}/statewise.json" in targets


def test_grafana_asks_nothing_of_its_makers() -> None:
    environment = SERVICES["grafana"]["environment"]

    for name in (
        "GF_ANALYTICS_REPORTING_ENABLED",
        "GF_ANALYTICS_CHECK_FOR_UPDATES",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES",
        "GF_NEWS_NEWS_FEED_ENABLED",
    ):
        assert environment[name] == "false"
    assert environment["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"
