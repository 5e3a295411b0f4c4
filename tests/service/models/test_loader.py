import numpy as np
import pytest
from fakes import chunk, distinct

from service.artifacts import repository
from service.errors import SettingsError
from service.metrics import Metrics
from service.models.loader import load_model
from service.models.served import Models
from service.runtime.engine import Engine
from service.settings import Settings
from service.streams.seam import Streams


def entry(path):
    return repository.scan(path.parent.parent.parent)[0]


@pytest.mark.parametrize("inline_limit_ms", [1000, 0])
async def test_the_bits_are_the_same_inline_and_on_a_thread(model_path, inline_limit_ms, caplog):
    # With flush-to-zero on both: an input of zeros lets the state decay into denormals.
    settings = Settings(model_path.parent, max_streams=2, inline_limit_ms=inline_limit_ms)
    with caplog.at_level("INFO"):
        model = load_model(entry(model_path), settings, Metrics())
    assert f"runs {'inline' if inline_limit_ms else 'on a thread'}" in caplog.text
    streams = Streams(Models([model]), settings, Metrics())
    stream = streams.open("random")
    model.arena.rows[stream.slot.row] = 1e-37
    inputs = np.concatenate([distinct(3, 1, 5), np.zeros((3, 5), np.float32)])
    outputs = await streams.push(stream, chunk(1, inputs))

    engine = Engine(model.artifact, provider="cpu", max_batch=1)
    engine.states[:] = 1e-37
    for step, output in zip(inputs, outputs, strict=True):
        engine.inputs[:1] = step
        engine.step(1)
        engine.states[:] = engine.next_states
        assert output.tobytes() == engine.outputs[0].tobytes()


def test_loading_records_what_was_proven(model_path):
    metrics = Metrics()
    model = load_model(entry(model_path), Settings(model_path.parent, max_streams=4), metrics)
    labels = {
        "model": "random",
        "version": "1",
        "content_digest": model.artifact.digest,
        "numeric_fingerprint": model.self_test.fingerprint,
        "provider": "cpu",
    }
    assert metrics.registry.get_sample_value("statewise_model_info", labels) == 1
    version = {"model": "random", "version": "1"}
    worst = metrics.registry.get_sample_value("statewise_self_test_worst_error", version)
    assert worst == model.self_test.worst_error


async def test_streams_and_ticks_are_counted(model_path):
    metrics = Metrics()
    settings = Settings(model_path.parent, max_streams=4)
    model = load_model(entry(model_path), settings, metrics)
    streams = Streams(Models([model]), settings, Metrics())
    labels = {"model": "random", "version": "1"}

    def value(name, **more):
        return metrics.registry.get_sample_value(f"statewise_{name}", labels | more)

    first, second = streams.open("random"), streams.open("random")
    assert value("open_streams") == 2
    await streams.push(first, chunk(1, distinct(7, 1, 5)))
    with pytest.raises(Exception, match="sequence is 3"):
        await streams.push(second, chunk(3, distinct(1, 1, 5)))
    streams.close(first)
    assert value("open_streams") == 1
    assert value("streams_opened_total") == 2
    assert value("tick_rows_sum") == 7
    assert value("tick_seconds_count") == 7
    assert value("refusals_total", reason="SEQUENCE_GAP") == 1


def test_a_chunk_of_the_largest_size_fits_in_a_message(model_path):
    settings = Settings(model_path.parent, max_message_bytes=1_024 * 20)
    model = load_model(entry(model_path), settings, Metrics())
    assert 900 < model.max_chunk_steps <= 1_024 * 20 // (5 * 4)
    assert (
        load_model(entry(model_path), Settings(model_path.parent), Metrics()).max_chunk_steps
        == 8_192
    )


def test_more_streams_than_memory_holds_are_refused(model_path, monkeypatch):
    def exhausted(capacity, initial):
        raise MemoryError

    monkeypatch.setattr("service.models.loader.Arena", exhausted)
    settings = Settings(model_path.parent, max_streams=10_000_000)
    with pytest.raises(SettingsError, match=r"max_streams is 10000000: their states take 1\.3 GB"):
        load_model(entry(model_path), settings, Metrics())
