"""The phases of a load beside callers for whom there is no room, on a real server."""

import pytest

from benchmarks import cores, model, processes
from benchmarks.load import generator
from benchmarks.load.settings import LoadSettings
from benchmarks.serving.contenders import STATEWISE, Deployment

STREAMS, RATE, SECONDS, ONSET = 4, 200.0, 0.6, 0.2


def test_the_onset_is_the_first_part_of_what_is_beside_the_others(repository, monkeypatch):
    named = {}
    original = generator._named

    def listening(when, latencies):
        named[when] = len(latencies)
        return original(when, latencies)

    monkeypatch.setattr(generator, "_named", listening)
    monkeypatch.setattr(generator, "_ONSET_SECONDS", ONSET)
    command = [*STATEWISE.command(Deployment(repository)), "--max-streams", str(STREAMS)]
    with processes.serving(command, cores.choose().server) as server:
        load = LoadSettings(
            *("127.0.0.1", server.port, model.NAME, STREAMS, 1, 0.1, SECONDS),
            rate=RATE,
            surplus=8,
        )
        report = generator.Generator(load).run()
    # Half of what is due may come late on a busy machine.
    assert named["before"] == pytest.approx(RATE * SECONDS, rel=0.5)
    assert named["onset"] == pytest.approx(RATE * ONSET, rel=0.5)
    assert named["onset"] < report.steps
    assert report.refused >= 8
    assert (report.refused_otherwise, report.let_in) == (0, 0)
    assert load.longest_seconds == pytest.approx(0.1 + 3 * SECONDS)
