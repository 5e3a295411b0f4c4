"""The command `statewise`: what a person mistypes, and steps that are out of order."""

import pytest
from statewise_client.__main__ import main

ORDERED = "t,ax,ay,az\n1,1,2,3\n10,1,2,3\n10.5,1,2,3\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["stream", "--input", "-"],
            "arguments are required: --model; see statewise stream --help",
        ),
        (
            ["state", "fork", "a", "b", "c"],
            "unrecognized arguments: c; see statewise state fork --help",
        ),
        (["state"], "arguments are required: ACT; see statewise state --help"),
        (["strem"], "see statewise --help"),
    ],
)
def test_a_mistyped_command_is_told_in_a_line(capsys, words, line):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("error: ")
    assert told.endswith(line)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--resume"], "--resume needs --stream-id; name the stream that is to go on"),
        (["--resume", "--stream-id", "a", "--replace"], "leave --replace out"),
        (["--resume", "--stream-id", "a", "--state-in", "a"], "leave --state-in out"),
    ],
)
def test_options_that_exclude_each_other_are_named_as_they_are_written(
    stream, write, options, line
):
    code, _, err = stream(write("r.csv", ORDERED), *options)
    assert (code, err.splitlines()[-1].endswith(line)) == (2, True)


@pytest.mark.parametrize("act", ["export", "fork", "close"])
def test_what_an_id_is_stands_in_the_help(capsys, act):
    with pytest.raises(SystemExit):
        main(["state", act, "--help"])
    assert "ID of the stream, as `statewise state list`" in " ".join(
        capsys.readouterr().out.split()
    )


def test_a_token_that_every_account_can_read_is_named(serve, write, capsys):
    token = write("ward-7.token", "secret\n")
    words = ["state", "list", "--target", serve().target, "--token-file", str(token)]
    for mode, told in ((0o604, f"note: --token-file {token}: every account can"), (0o600, "")):
        token.chmod(mode)
        assert main(words) == 0
        err = capsys.readouterr().err
        assert err.startswith(told)
        assert "secret" not in err
        assert bool(err) == bool(told)


def test_steps_in_their_order_are_streamed(stream, write):
    code, lines, err = stream(write("r.csv", ORDERED), "--order", "t", "--format", "csv")

    assert (code, len(lines)) == (0, 4)
    assert "unused" not in err


@pytest.mark.parametrize(
    ("last", "fault"),
    [
        ("10.5", "line 5: column 't' is 10.5 after 10.5; sort the rows"),
        ("2", "line 5: column 't' is 2.0 after 10.5; sort the rows"),
        ("nan", "line 5: column 't' is nan after 10.5"),
        ("noon", "line 5: column 't' is noon after 10.5"),
    ],
)
def test_a_step_out_of_order_is_a_mistake(stream, write, last, fault):
    path = write("r.csv", f"{ORDERED}{last},1,2,3\n")

    code, lines, err = stream(path, "--order", "t", "--format", "csv")

    assert (code, len(lines)) == (2, 4)
    assert fault in err


@pytest.mark.parametrize("port", ["99999", "0", "-1", "x", "65536"])
def test_a_port_that_cannot_be_is_refused(port, capsys):
    assert main(["health", "--target", f"localhost:{port}"]) == 2
    assert capsys.readouterr().err.startswith(f"error: target is 'localhost:{port}'; write HOST")


@pytest.mark.parametrize("timeout", ["-1", "0", "nan", "inf"])
def test_a_timeout_that_cannot_be_is_refused(timeout, capsys):
    assert main(["health", "--target", "localhost:1", "--timeout", timeout]) == 2
    assert "give a number of seconds above 0" in capsys.readouterr().err


def test_a_folder_and_a_semicolon_are_told_as_what_they_are(stream, write, tmp_path):
    (tmp_path / "folder.csv").mkdir()
    assert "it is a folder" in stream(tmp_path / "folder.csv")[2]
    assert "separated by ';'" in stream(write("s.csv", "ax;ay;az\n1;2;3\n"))[2]
