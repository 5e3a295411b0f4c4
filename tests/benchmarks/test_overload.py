import json

import pytest

from benchmarks.__main__ import main


def test_a_quick_run_refuses_the_surplus_with_a_hint_and_lets_nobody_else_in(tmp_path, capsys):
    assert main(["overload", "--quick", "--streams", "4", "--results", str(tmp_path)]) == 0
    before, overload, onset, after, closed = json.loads((tmp_path / "overload.json").read_text())
    assert [one["callers"] for one in (before, overload, onset, after, closed)] == [
        *(4, 20, 20, 4, 4)
    ]
    assert before["p99_times_before"] == 1
    # Half a second is within the first three.
    assert onset["latency_p99_ms"] == overload["latency_p99_ms"]
    for one in (overload, onset, after):
        # A single turn, whose own it is.
        times = one["latency_p99_ms"] / before["latency_p99_ms"]
        for part in ("", "_least", "_most", "_low", "_high"):
            assert one[f"p99_times_before{part}"] == pytest.approx(times)
    assert closed["slowest_steps_per_second"] == closed["steps_per_second"]
    sent = overload["steps_per_second"] / closed["slowest_steps_per_second"]
    # A machine that slows down meanwhile answers less of the 80% in time.
    assert 0.4 < sent < 0.9
    # In half a second each of 16 comes once.
    assert overload["refused_per_second"] > 0
    assert (overload["refused_otherwise"], overload["let_in"]) == (0, 0)
    assert "p99 times before" in capsys.readouterr().out
