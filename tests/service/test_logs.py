"""The log: one JSON object a line, its fields, and nothing in it that is secret."""

import json
import logging
import sys

import grpc
import pytest
from known_callers import TOKENS, bearer, status, write_callers
from processes import serving

from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1.stream_pb2_grpc import StreamServiceStub
from service import logs
from service.logs import JsonFormatter

KEY = "ab" * 32


def record(message, *arguments, **fields):
    logger = logging.getLogger("service.of_tests")
    return logger.makeRecord(
        logger.name, logging.WARNING, "file.py", 1, message, arguments, None, extra=fields
    )


def test_what_is_said_again_and_again_is_written_once_in_a_while():
    now = 100.0
    seldom = logs.Seldom(10.0, lambda: now)
    assert seldom.filter(record("the store %s is away", "a"))
    now = 109.9
    assert not seldom.filter(record("the store %s is away", "a"))
    # What differs is something else.
    assert seldom.filter(record("the store %s is away", "b"))
    now = 110.0
    assert seldom.filter(record("the store %s is away", "a"))
    assert not seldom.filter(record("the store %s is away", "a"))
    assert len(seldom._said) == 2


def test_a_line_has_its_fields_and_no_others():
    made = record("stream %r\n%s", "pump", "ends", stream_id="pump", steps=7)
    made.created, made.msecs = 1_795_557_590.0625, 62.5
    made._of_another_library = 1

    assert json.loads(JsonFormatter().format(made)) == {
        "time": "2026-11-24T21:59:50.062Z",
        "level": "warning",
        "logger": "service.of_tests",
        "message": "stream 'pump'\nends",
        "stream_id": "pump",
        "steps": 7,
    }


def test_a_traceback_stays_on_the_line():
    made = record("it failed")
    try:
        raise ArithmeticError("of the test")
    except ArithmeticError:
        made.exc_info = sys.exc_info()

    line = JsonFormatter().format(made)
    assert "\n" not in line
    assert json.loads(line)["exception"].endswith("ArithmeticError: of the test")


@pytest.mark.parametrize("form", ["console", "json"])
def test_the_level_is_the_least_that_is_written(form, capsys, monkeypatch):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setattr(logging.getLogger("service"), "level", logging.NOTSET)
    logs.configure(form, "warning")
    logging.getLogger("service.of_tests").info("unseen")
    logging.getLogger("service.of_tests").warning("seen")
    written = capsys.readouterr().err

    assert "unseen" not in written
    assert written.count("\n") == 1
    assert written.startswith("{") == (form == "json")


def open_stream(channel, stream_id, *messages, resume=False):
    """Opens a stream of the user's and half-closes; kinds of the answers."""
    opening = wire.Open(model="random", stream_id=stream_id)
    if resume:
        opening.resume.SetInParent()
    requests = iter([wire.ClientMessage(open=opening), *messages])
    answers = StreamServiceStub(channel).Stream(requests, metadata=bearer("user"), timeout=20)
    return [answer.WhichOneof("message") for answer in answers]


def test_a_server_logs_opens_and_resumes_as_json_and_no_secret(model_path, tmp_path):
    keys = tmp_path / "state.keys"
    keys.touch(0o600)
    keys.write_text(KEY)
    chunk = wire.Chunk(
        sequence=1, dtype=wire.DATA_TYPE_FLOAT32, steps=1, features=5, data=bytes(20)
    )
    options = ("--token-file", write_callers(tmp_path), "--state-key-file", keys)
    form = ("--log-format", "json", "--log-level", "debug")
    with serving(model_path, *options, *form) as server:
        with grpc.insecure_channel(server.target) as channel:
            open_stream(channel, "pump", wire.ClientMessage(chunk=chunk))
            assert "opened" in open_stream(channel, "pump", resume=True)
            call = StreamServiceStub(channel).Stream
            wrong = (("authorization", "Bearer 0123456789abcdef0123456789abcdef"),)
            assert status(lambda: list(call(iter([]), metadata=wrong))) == "UNAUTHENTICATED"
        assert server.stop() == 0
        written = server.log()

    lines = [json.loads(line) for line in written.splitlines()]
    of_streams = [line for line in lines if line.get("stream_id") == "pump"]
    assert [(line["level"], line["message"].rpartition("' ")[2]) for line in of_streams] == [
        ("debug", "is open"),
        ("debug", "is closed"),
        ("debug", "is open"),
        ("info", "is resumed"),
        ("debug", "is closed"),
    ]
    assert {(line["model"], line["version"]) for line in of_streams} == {("random", "1")}
    assert any(line["message"].startswith("stopping") for line in lines)
    for secret in (*TOKENS.values(), KEY, "0123456789abcdef", "Bearer"):
        assert secret not in written
