"""The dashboard and the alerts ask for metrics, labels and reasons that there are."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from service.metrics import Metrics

ROOT = Path(__file__).resolve().parents[2]
ALERTS = ROOT / "deploy/prometheus/alerts.yaml"
DASHBOARD = json.loads((ROOT / "deploy/grafana/statewise.json").read_text())
RULES: list[dict[str, Any]] = [
    rule for group in YAML(typ="safe").load(ALERTS)["groups"] for rule in group["rules"]
]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [rule["expr"] for rule in RULES] + [
    target["expr"] for panel in PANELS for target in panel["targets"]
]
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
# Of Prometheus itself.
OF_SCRAPES = {"job", "instance", "le"}
SELECTOR = re.compile(r"([a-z_:]+)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)=~?"([^"]*)"')


def known() -> dict[str, set[str]]:
    """Labels of every series that a server has."""
    series = {"up": set[str]()}
    for collector in Metrics().registry._collector_to_names:
        for family in collector.collect():
            labels = set(getattr(collector, "_labelnames", ()))
            for suffix in SUFFIXES[family.type]:
                series[family.name + suffix] = labels | OF_SCRAPES
    series["up"] = OF_SCRAPES
    return series


SERIES = known()


def asked(expression: str) -> set[str]:
    """Series that an expression asks for: words that are no function, operator or label."""
    bare = re.sub(r"\b(by|without|on|ignoring) \([^)]*\)|\{[^}]*\}|\[[^\]]*\]", " ", expression)
    return set(re.findall(r"\b[a-z_:][a-z_:0-9]*\b(?! *\()", bare)) - {"sum", "count"}


def grouped(expression: str) -> set[str]:
    return {
        label.strip()
        for labels in re.findall(r"\b(?:by|without|on|ignoring) \(([^)]*)\)", expression)
        for label in labels.split(",")
    }


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_series_and_label_that_is_asked_for_exists(expression: str) -> None:
    found = asked(expression)

    assert found
    assert found - SERIES.keys() == set()
    for name, matchers in SELECTOR.findall(expression):
        assert {label for label, _ in MATCHER.findall(matchers)} <= SERIES[name]
    assert grouped(expression) <= set.union(*(SERIES[name] for name in found))


def test_words_that_are_no_series_are_seen() -> None:
    assert asked('sum by (le) (rate(statewise_gone_total{reason="x"}[5m])) / up > 0') == {
        "statewise_gone_total",
        "up",
    }


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_reason_that_is_asked_for_is_told_before_it_counts(expression: str) -> None:
    value = Metrics().registry.get_sample_value
    for name, matchers in SELECTOR.findall(expression):
        asked_for = dict(MATCHER.findall(matchers)).get("reason")
        for reason in asked_for.split("|") if asked_for else ():
            assert value(name, {"reason": reason}) == 0


def test_what_is_told_by_reason_is_drawn_where_there_is_any() -> None:
    by_reason = [one for one in EXPRESSIONS if one.startswith("sum by (reason)")]

    assert by_reason
    assert [one for one in by_reason if not one.endswith(" > 0")] == []


def test_every_metric_is_on_the_dashboard_or_in_an_alert() -> None:
    seen = set().union(*map(asked, EXPRESSIONS))
    ours = {re.sub("_(bucket|sum|count)$", "", name) for name in SERIES if "statewise" in name}

    assert ours - {re.sub("_(bucket|sum|count)$", "", name) for name in seen} == set()


def test_no_bound_flattens_what_it_bounds() -> None:
    """Ten thousand streams that may be open would draw twenty that are as none."""
    bounded = [one for one in EXPRESSIONS if "_max_" in one]

    assert bounded
    assert [one for one in bounded if "_max_" not in one.partition(" / ")[2]] == []


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)


def test_panels_have_places_and_names_of_their_own() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    for key in ("id", "title"):
        values = [panel[key] for panel in DASHBOARD["panels"]]
        assert len(set(values)) == len(values)


def test_prometheus_itself_takes_the_rules_and_reads_them(promtool: Any) -> None:
    done = promtool("check", "config", ALERTS.with_name("prometheus.yml"))

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(RULES)} rules found" in done.stdout
