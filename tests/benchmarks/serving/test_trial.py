"""The generator and the plain server, each a real process, over a real socket."""

from dataclasses import replace

import pytest

from benchmarks import cores, model, processes
from benchmarks.errors import LoadError, WrongAnswerError
from benchmarks.load.settings import LoadSettings
from benchmarks.serving import trial
from benchmarks.serving.contenders import PLAIN_AIO, STATEWISE, Deployment


@pytest.fixture(scope="module")
def both():
    return cores.choose()


@pytest.fixture(scope="module")
def load(repository, both):
    with processes.serving(PLAIN_AIO.command(Deployment(repository)), both.server) as server:
        yield load_on(server)


def load_on(server: processes.Server) -> LoadSettings:
    return LoadSettings(
        host="127.0.0.1",
        port=server.port,
        model=model.NAME,
        streams=6,
        connections=2,
        warmup_seconds=0.1,
        seconds=0.3,
        server_pid=server.pid,
    )


def test_a_load_is_measured_and_every_answer_is_checked(load, both, repository):
    found = trial.run(load, both.load, model.path(repository), tolerance=0)
    report = found.report
    assert found.agreement.steps >= report.steps > 0
    assert found.agreement.differing_values == 0
    assert report.seconds >= load.seconds
    assert report.load_cpu_seconds > 0
    assert report.server_cpu_seconds > 0
    # No step can take longer than the silence after which a load gives up.
    assert 0 < report.latency_p50_ms <= report.latency_p99_ms < 20_000


def test_chunks_of_steps_are_counted_and_checked_step_by_step(both, repository):
    # The plain server takes one step a message.
    with processes.serving(STATEWISE.command(Deployment(repository)), both.server) as server:
        for steps in (4, 16):
            chunks = replace(load_on(server), chunk_steps=steps)
            found = trial.run(chunks, both.load, model.path(repository), tolerance=0)
            assert found.agreement.differing_values == 0
            assert found.agreement.steps >= found.report.steps > 0
            assert found.agreement.steps % steps == found.report.steps % steps == 0


def test_steps_at_a_rate_are_sent_when_they_are_due(load, both, repository):
    paced = replace(load, rate=200.0, seconds=0.5)
    found = trial.run(paced, both.load, model.path(repository), tolerance=0)
    # None is due twice, and none is left out; what is under way at either end may miss the clock.
    assert abs(found.report.steps - 100) <= 2 * load.streams
    assert found.report.late_p99_ms > 0
    # One at the opening, 20 before the clock starts.
    assert found.agreement.steps == load.streams + 20 + 100


def test_silent_streams_take_a_step_and_memory(load, both, repository):
    silent = replace(load, idle=True, streams=100)
    found = trial.run(silent, both.load, model.path(repository), tolerance=0)
    assert found.agreement.steps == 100
    assert found.report.steps == 0
    assert found.report.idle_bytes_per_stream > 0


def test_answers_of_another_model_get_no_figures(load, both, tmp_path):
    model.make(tmp_path, seed=1)
    with pytest.raises(WrongAnswerError, match="differ from the model's"):
        trial.run(load, both.load, model.path(tmp_path), tolerance=1e-5)


def test_a_target_that_is_not_there_is_named(load, both, repository):
    nobody = replace(load, port=1)
    with pytest.raises(LoadError, match=r"target 127\.0\.0\.1:1 can't be reached"):
        trial.run(nobody, both.load, model.path(repository), tolerance=0)
