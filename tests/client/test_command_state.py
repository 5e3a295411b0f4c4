"""`statewise state`, and what `statewise stream` does with states, as a user runs them."""

import csv
import json
import stat
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
from fake_model import FEATURES, answers, distinct
from statewise_client.__main__ import main
from statewise_client.blocking import Client
from statewise_client.command import connection
from statewise_client.errors import InputError

STEPS = distinct(8, seed=1)


def table(steps) -> str:
    return "\n".join([",".join(FEATURES), *(",".join(map(str, step)) for step in steps)]) + "\n"


@pytest.fixture
def statewise(capsysbinary):
    """Runs a command; gives exit code, bytes on stdout, text on stderr."""

    def run(*words):
        code = main([str(word) for word in words])
        out, err = capsysbinary.readouterr()
        assert b"Traceback" not in err
        return code, out, err.decode()

    return run


@pytest.fixture
def kept(serve):
    """A server that keeps `pump-7`, four of the steps taken, and the words that name it."""
    server = serve()
    with Client(server.target) as client:
        try:
            with client.open("sum", "", "pump-7") as stream:
                stream.push(STEPS[:4])
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    server.endings.get(timeout=10)
    return server


def outputs(text: bytes):
    """The numbers of steps, and their outputs."""
    rows = list(csv.reader(text.decode().splitlines()))[1:]
    return [int(row[0]) for row in rows], np.array([row[1:] for row in rows], np.float32)


def test_a_state_goes_through_a_file_into_another_server(statewise, kept, serve, write, tmp_path):
    blob, there = tmp_path / "pump-7.state", serve().target

    assert statewise("state", "export", "pump-7", "--target", kept.target, "--output", blob)[0] == 0
    assert stat.S_IMODE(blob.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["pump-7.state"]
    words = ("--stream-id", "pump-8", "--target", there)
    assert statewise("state", "import", blob, *words) == (0, b"pump-8\n", "")

    rest = write("rest.csv", table(STEPS[4:]))
    code, out, err = statewise(
        *("stream", "--target", there, "--model", "sum", "--input", rest, "--format", "csv"),
        *("--stream-id", "pump-8", "--resume"),
    )
    assert code == 0
    numbers, rows = outputs(out)
    # Steps are counted on over the stream's life.
    assert numbers == [5, 6, 7, 8]
    assert err.startswith("4 steps in ")
    np.testing.assert_array_equal(rows, answers(STEPS)[4:])


def test_a_state_goes_to_stdout_whole(statewise, kept):
    words = ("--target", kept.target, "--output", "-")
    code, exported, _ = statewise("state", "export", "pump-7", *words)
    assert (code, len(exported)) == (0, 8 + 3 * 4)
    assert statewise("state", "close", "pump-7", *words) == (0, exported, "")


def test_monday_goes_on_on_tuesday(statewise, serve, write, tmp_path):
    target, blob = serve().target, tmp_path / "monday.state"
    monday, tuesday = write("m.csv", table(STEPS[:5])), write("t.csv", table(STEPS[5:]))
    words = ("stream", "--target", target, "--model", "sum", "--format", "csv")

    assert statewise(*words, "--input", monday, "--state-out", blob)[0] == 0
    code, out, _ = statewise(*words, "--input", tuesday, "--state-in", blob)

    assert code == 0
    numbers, rows = outputs(out)
    assert numbers == [6, 7, 8]
    np.testing.assert_array_equal(rows, answers(STEPS)[5:])


def test_streams_are_forked_listed_and_closed(statewise, kept):
    to = ("--target", kept.target)
    assert statewise("state", "fork", "pump-7", "what-if", *to) == (0, b"what-if\n", "")
    code, out, _ = statewise("state", "list", *to)
    lines = out.decode().splitlines()
    assert (code, len(lines)) == (0, 3)
    assert lines[1].split() == [
        "pump-7",
        "sum/3",
        "1",
        "4",
        "kept",
        "2023-11-14",
        "22:13:20Z",
        "me",
    ]
    assert lines[2].split() == ["what-if", "sum/3", "0", "4", "kept", "-", "me"]

    assert statewise("state", "close", "pump-7", *to) == (0, b"4 steps taken\n", "")
    (line,) = statewise("state", "list", "--format", "jsonl", *to)[1].splitlines()
    assert json.loads(line) == {
        "stream_id": "what-if",
        "model": "sum",
        "version": "3",
        "sequence": 0,
        "steps": 4,
        "live": False,
        "owner": "me",
        "stored": None,
    }


MISTAKES = {
    "unknown": (["export", "pump-9", "--output", "-"], "NOT_FOUND: "),
    "no folder": (["export", "a", "--output", "no/such/file"], "no/such/file: it can't be written"),
    "a folder": (["close", "a", "--output", "."], ".: it can't be written; name a file"),
    "no file": (["import", "no.state"], "no.state: it can't be read: No such file"),
    "no id": (["close", ""], "ID is empty; name a stream"),
}


@pytest.mark.parametrize(("words", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_in_a_line(statewise, kept, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = statewise("state", *words, "--target", kept.target)
    assert (code, out) == (2, b"")
    (line,) = err.splitlines()
    assert line.startswith(f"error: {message}")


def test_a_stream_is_not_opened_for_a_state_that_has_no_place(statewise, serve, write):
    server, steps = serve(), write("r.csv", table(STEPS))
    words = ("stream", "--target", server.target, "--model", "sum", "--input")
    for more, message in (
        ((steps, "--state-out", "no/such/file"), "no/such/file: it can't be written"),
        ((steps, "--state-out", "-"), "--state-out -: the lines go to stdout"),
        (("-", "--state-in", "-"), "--state-in -: the steps come from stdin"),
        ((steps, "--state-in", write("empty", "")), "it is empty; give a file that"),
        ((steps, "--resume"), "--resume needs --stream-id"),
        ((steps, "--resume-timeout", "-1"), "resume_timeout is -1.0; give seconds"),
    ):
        code, _, err = statewise(*words, *more)
        assert (code, message in err) == (2, True), err
    assert not server.openings


def test_no_server_is_a_failure(statewise):
    code, _, err = statewise("state", "list", "--target", "127.0.0.1:1")
    assert code == 1
    assert err.startswith("error: no server answers at 127.0.0.1:1")


def test_the_token_comes_from_a_file(statewise, kept, write, monkeypatch):
    monkeypatch.setenv("STATEWISE_TOKEN_FILE", str(write("token", "from-environment\n")))
    statewise("state", "fork", "pump-7", "a", "--target", kept.target)
    given = write("other", "from-option\n")
    statewise("state", "fork", "pump-7", "b", "--target", kept.target, "--token-file", given)
    seen = [one.get("authorization") for one in kept.metadata]
    assert seen[-2:] == ["Bearer from-environment", "Bearer from-option"]


def options(**files):
    return SimpleNamespace(**{"token_file": None, "ca": None, "cert": None, "key": None} | files)


def test_files_for_tls_go_together(write, authority, tmp_path):
    pem, own = str(authority.certificate), authority.issue("ward-7")
    cert, key = str(own.certificate), str(own.key)
    for files, message in (
        ({"cert": pem}, "--cert and --key belong together"),
        ({"key": pem, "ca": pem}, "--cert and --key belong together"),
        ({"cert": pem, "key": pem}, "--cert needs --ca"),
        ({"ca": str(tmp_path / "none")}, "--ca .*none: it can't be read: No such file"),
    ):
        with pytest.raises(InputError, match=message):
            connection.credentials(options(**files), {})
    assert connection.credentials(options(), {}) is None
    for given in (options(ca=pem), options(ca=pem, cert=cert, key=key)):
        assert isinstance(connection.credentials(given, {}), grpc.ChannelCredentials)
    assert isinstance(
        connection.credentials(options(), {"STATEWISE_CA": pem}), grpc.ChannelCredentials
    )


@pytest.mark.parametrize("content", ["", "\n", b"\xff\xfe"])
def test_a_file_without_a_token_is_a_mistake(write, content):
    with pytest.raises(InputError, match="--token-file holds no token"):
        connection.token(options(token_file=str(write("token", content))), {})
