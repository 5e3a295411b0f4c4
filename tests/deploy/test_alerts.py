"""Prometheus, given series as a server tells them, raises each alert in its time, and no other."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ruamel.yaml import YAML

RULES_FILE = Path(__file__).resolve().parents[2] / "deploy/prometheus/alerts.yaml"
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in YAML(typ="safe").load(RULES_FILE)["groups"]
    for rule in group["rules"]
}
SERVER = {"instance": "a:9100"}
MODEL = SERVER | {"model": "activity"}
VERSION = MODEL | {"version": "1"}
# promtool's notation, one value every 10 s: first, step, how often; _ is no value.
INTERVAL = "10s"
EVER = 100


class Case(NamedTuple):
    """An alert, the series that raise it, and the minute at which it stands, with which words."""

    alert: str
    series: dict[str, str]
    minutes: int
    labels: dict[str, str]
    summary: str


def series(name: str, **labels: str) -> str:
    told = ",".join(f'{label}="{value}"' for label, value in (SERVER | labels).items())
    return f"statewise_{name}{{{told}}}"


def of_model(name: str, **labels: str) -> str:
    return series(name, model="activity", version="1", **labels)


CASES = [
    Case(
        "StatewiseDown",
        {'up{job="statewise",instance="a:9100"}': f"1x6 0x{EVER}"},
        3,
        {"job": "statewise"} | SERVER,
        "a:9100 does not answer",
    ),
    Case(
        "StatewiseStreamsNearlyAllTaken",
        {of_model("open_streams"): f"0x6 95x{EVER}", of_model("max_streams"): f"100x{EVER}"},
        7,
        VERSION,
        "activity on a:9100 has 95% of its streams open",
    ),
    Case(
        "StatewiseRefusesStreams",
        {series("refused_opens_total", reason="STREAMS_EXHAUSTED"): f"0x6 0+2x{EVER}"},
        5,
        SERVER | {"reason": "STREAMS_EXHAUSTED"},
        "a:9100 refuses streams: STREAMS_EXHAUSTED",
    ),
    Case(
        "StatewiseStepsWaitLong",
        {
            of_model("queue_wait_seconds_bucket", le="0.1"): f"0+90x{EVER}",
            of_model("queue_wait_seconds_bucket", le="0.5"): f"0+100x{EVER}",
            of_model("queue_wait_seconds_bucket", le="+Inf"): f"0+100x{EVER}",
        },
        7,
        MODEL,
        "activity on a:9100: 1% of the steps wait for 460ms or more",
    ),
    Case(
        "StatewiseStepsFail",
        {of_model("failed_steps_total"): f"0x6 1x{EVER}"},
        2,
        VERSION,
        "activity/1 on a:9100 fails on inputs that it accepted",
    ),
    Case(
        "StatewiseCheckpointsLate",
        {series("checkpoint_lag_seconds"): f"0x6 0+10x9 90x{EVER}"},
        4,
        SERVER,
        "a:9100 has not stored the oldest chunk for 1m 30s",
    ),
    Case(
        "StatewiseStoreFails",
        {series("store_failures_total", reason="STORE_UNAVAILABLE"): f"0x6 0+1x{EVER}"},
        5,
        SERVER | {"reason": "STORE_UNAVAILABLE"},
        "the state store fails a:9100: STORE_UNAVAILABLE",
    ),
    Case(
        "StatewiseStoreNearlyFull",
        {series("kept_bytes"): f"0x6 95x{EVER}", series("max_kept_bytes"): f"100x{EVER}"},
        7,
        SERVER,
        "the state store of a:9100 is 95% full",
    ),
    Case(
        "StatewiseStatesEvicted",
        {series("evictions_total", reason="size"): f"0x6 5x{EVER}"},
        2,
        SERVER,
        "a:9100 gave up states of streams that might have come back",
    ),
    Case(
        "StatewiseCallersUnknown",
        {series("refused_calls_total", reason="UNAUTHENTICATED"): f"0+20x{EVER}"},
        9,
        SERVER,
        "a:9100 turns away 2 calls a second of nobody it knows",
    ),
    Case(
        "StatewiseBitsDiffer",
        {
            of_model("model_info", numeric_fingerprint="sha256:1"): f"1x{EVER}",
            of_model("model_info", instance="b:9100", numeric_fingerprint="sha256:2"): f"1x{EVER}",
        },
        12,
        {"model": "activity", "version": "1"},
        "servers compute activity/1 with different bits",
    ),
]
# What passes by itself, or is as it should be.
QUIET = {
    'up{job="statewise",instance="a:9100"}': f"1x6 0x3 1x{EVER}",
    of_model("open_streams"): f"80x{EVER}",
    of_model("max_streams"): f"100x{EVER}",
    series("refused_opens_total", reason="STORE_UNAVAILABLE"): f"0x6 7x{EVER}",
    series("refused_opens_total", reason="MODEL_NOT_FOUND"): f"0+9x{EVER}",
    of_model("queue_wait_seconds_bucket", le="0.1"): f"0+100x{EVER}",
    of_model("queue_wait_seconds_bucket", le="+Inf"): f"0+100x{EVER}",
    of_model("failed_steps_total"): f"0x{EVER}",
    series("checkpoint_lag_seconds"): f"0x6 40x3 0x{EVER}",
    series("store_failures_total", reason="STORE_UNAVAILABLE"): f"0x6 7x{EVER}",
    series("kept_bytes"): f"80x{EVER}",
    series("max_kept_bytes"): f"100x{EVER}",
    series("evictions_total", reason="expired"): f"0+9x{EVER}",
    series("refused_calls_total", reason="UNAUTHENTICATED"): f"0x6 20x{EVER}",
    of_model("model_info", numeric_fingerprint="sha256:1"): f"1x{EVER}",
    of_model("model_info", instance="b:9100", numeric_fingerprint="sha256:1"): f"1x{EVER}",
}


def expected(case: Case) -> dict[str, Any]:
    rule = RULES[case.alert]
    return {
        "exp_labels": case.labels | rule["labels"],
        "exp_annotations": {
            "summary": case.summary,
            "description": rule["annotations"]["description"],
        },
    }


def written(folder: Path, given: dict[str, str], asked: list[dict[str, Any]]) -> Path:
    """A test as promtool reads it."""
    inputs = [{"series": name, "values": values} for name, values in given.items()]
    test = {"interval": INTERVAL, "input_series": inputs, "alert_rule_test": asked}
    path = folder / "test.yaml"
    # JSON is YAML.
    path.write_text(
        json.dumps(
            {"rule_files": [str(RULES_FILE)], "evaluation_interval": INTERVAL, "tests": [test]}
        )
    )
    return path


def test_every_alert_has_its_case() -> None:
    assert [case.alert for case in CASES] == list(RULES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_is_raised_in_its_time(case: Case, promtool: Any, tmp_path: Path) -> None:
    before = {"eval_time": "50s", "alertname": case.alert, "exp_alerts": []}
    after = {
        "eval_time": f"{case.minutes}m",
        "alertname": case.alert,
        "exp_alerts": [expected(case)],
    }
    done = promtool("test", "rules", written(tmp_path, case.series, [before, after]))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", RULES)
def test_what_passes_by_itself_raises_none(alert: str, promtool: Any, tmp_path: Path) -> None:
    asked = [
        {"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": []} for minute in range(1, 15)
    ]
    done = promtool("test", "rules", written(tmp_path, QUIET, asked))

    assert done.returncode == 0, done.stdout + done.stderr
