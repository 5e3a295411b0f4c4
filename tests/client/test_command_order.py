"""The command `statewise`: what a person mistypes, and steps that are out of order."""

import pytest
from statewise_client.__main__ import main

ORDERED = "t,ax,ay,az\n1,1,2,3\n10,1,2,3\n10.5,1,2,3\n"


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
