"""Every reason that the service gives is told from the start, at zero, by its counter."""

import re
from pathlib import Path

import pytest

from service import reasons
from service.metrics import Metrics

SERVICE = Path(reasons.__file__).parent
PAGE = SERVICE.parent / "docs/operations.md"
GIVEN = re.compile(r'reason="([A-Z_]+)"')
COUNTERS = {
    "evictions": reasons.ENDED,
    "refused_opens": reasons.OPENS,
    "refused_requests": reasons.REQUESTS,
    "refused_calls": reasons.CALLS,
    "store_failures": reasons.STORE_FAILURES,
}
# Reasons of what no counter of refusals counts.
OF_ADMINISTRATION = {"FORK_ITSELF", "MODEL_BROKEN"}
OF_ENDED_CALLS = {"CHUNK_EXPECTED", "CHUNK_IN_FLIGHT", "IDLE", "OPEN_EXPECTED", "TAKEN_OVER"}


def given() -> set[str]:
    pages = [path for path in SERVICE.rglob("*.py") if "offline" not in path.parts]
    return {reason for page in pages for reason in GIVEN.findall(page.read_text())}


def test_every_reason_that_is_given_is_known():
    known = set(reasons.CHUNKS).union(*COUNTERS.values())

    assert given() - known == OF_ADMINISTRATION | OF_ENDED_CALLS


def test_every_reason_of_an_end_is_documented():
    listed = PAGE.read_text().partition("Reasons of `statewise_evictions_total`:")[2]

    assert set(re.findall("`([a-z_]+)`", listed.partition("Those of refusals")[0])) == set(
        reasons.ENDED
    )


@pytest.mark.parametrize("name", COUNTERS)
def test_a_counter_starts_at_zero_for_each_of_its_reasons(name):
    value = Metrics().registry.get_sample_value
    told = {
        reason: value(f"statewise_{name}_total", {"reason": reason}) for reason in COUNTERS[name]
    }

    assert told == dict.fromkeys(COUNTERS[name], 0)


def test_refused_chunks_start_at_zero_for_each_version():
    metrics = Metrics()
    metrics.model("activity", "3", open_streams=int)
    of = {"model": "activity", "version": "3"}

    for reason in reasons.CHUNKS:
        labels = of | {"reason": reason}
        assert metrics.registry.get_sample_value("statewise_refusals_total", labels) == 0
