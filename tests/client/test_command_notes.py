"""What the command says of a connection that breaks while it works."""

import itertools
import logging

import grpc
from statewise_client.__main__ import main


def breaking(sequence, times=1):
    """Breaks so many calls at a chunk."""
    left = [sequence] * times

    def interfere(context, sent):
        if sent in left:
            left.pop()
            context.abort(grpc.StatusCode.UNAVAILABLE, "the network broke")

    return interfere


def test_a_stream_that_goes_on_says_so(serve, write, capsys):
    target = serve(interfere=breaking(2)).target
    path = write("r.csv", "ax,ay,az\n1,2,3\n4,5,6\n7,8,9\n")
    words = ["--target", target, "--model", "sum", "--input", str(path), "--format", "csv"]

    assert main(["stream", *words, "--resume-timeout", "30"]) == 0

    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 4
    assert err.splitlines()[:2] == [
        f"note: the connection to {target} is lost; trying again for 30 s",
        f"note: it goes on with {target}",
    ]
    assert len(err.splitlines()) == 3


def test_a_question_that_is_asked_again_says_so(serve, capsys):
    server = serve()
    server.breaks["List"] = 2

    assert main(["state", "list", "--target", server.target]) == 0

    assert capsys.readouterr().err.splitlines() == [
        f"note: the connection to {server.target} is lost; trying again for 60 s",
        f"note: it goes on with {server.target}",
    ]


def test_nothing_is_left_behind(serve, capsys):
    log = logging.getLogger("statewise_client")
    before = (log.level, list(log.handlers))
    assert main(["state", "list", "--target", serve().target]) == 0
    assert (log.level, log.handlers) == before


def test_what_many_streams_say_is_told_once(serve, write, capsys):
    target = serve(interfere=breaking(1, times=4)).target
    rows = [f"{who},{row},1,2,3" for who in range(4) for row in range(2)]
    path = write("all.csv", "\n".join(["who,row,ax,ay,az", *rows]) + "\n")
    words = ["--target", target, "--model", "sum", "--input", str(path), "--streams", "4"]
    words += ["--entity", "who", "--order", "row", "--output", str(path.with_name("o.csv"))]

    assert main(["score", *words]) == 0

    notes = [one for one in capsys.readouterr().err.splitlines() if one.startswith("note: ")]
    assert f"note: it goes on with {target}" in notes
    assert all(one != following for one, following in itertools.pairwise(notes))
