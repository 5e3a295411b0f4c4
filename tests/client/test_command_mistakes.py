"""What `statewise stream` leaves on a server where a recording turns out to be none."""

import pytest
from fake_model import FORBIDDEN
from statewise_client.__main__ import main

# Told before a server is asked for a stream.
SEEN_AT_ONCE = {
    "entity": ["--entity", "who=9"],
    "entity column": ["--entity", "whose=1"],
    "order": ["--order", "when"],
}


@pytest.mark.parametrize("options", SEEN_AT_ONCE.values(), ids=SEEN_AT_ONCE)
def test_a_mistake_in_the_table_is_seen_before_a_stream_is_opened(serve, write, capsys, options):
    server, path = serve(), write("r.csv", "who,ax,ay,az\n1,1,2,3\n")
    command = ["stream", "--target", server.target, "--model", "sum", "--input", str(path)]

    assert main([*command, *options]) == 2
    assert server.openings == []

    assert main([*command, "--entity", "who=1"]) == 0
    assert "left unused" not in capsys.readouterr().err


SEEN_BY_THE_MODEL = {
    "column": ("ax,ay\n1,2\n", []),
    "cell": ("ax,ay,az\n1,2,x\n", []),
    "refused": (f"ax,ay,az\n1,2,{FORBIDDEN}\n", []),
    "pace": ("ax,ay,az\n1,2,3\n", ["--realtime"]),
}


@pytest.mark.parametrize(("content", "options"), SEEN_BY_THE_MODEL.values(), ids=SEEN_BY_THE_MODEL)
def test_a_stream_that_a_mistake_ends_before_its_first_step_is_closed(
    serve, write, content, options
):
    server, path = serve(steps_per_second=0.0), write("r.csv", content)
    command = ["stream", "--target", server.target, "--model", "sum", "--stream-id", "pump-7"]
    command += ["--input", str(path)]

    assert main([*command, *options]) == 2
    assert server.endings.get(timeout=10) == "closed"

    path.write_text("ax,ay,az\n1,2,3\n4,x,6\n")
    assert main(command) == 2
    assert server.endings.get(timeout=10) == "cut"

    # What was there before is left as it was.
    path.write_text(content)
    assert main([*command, "--resume", *options]) == 2
    assert server.endings.get(timeout=10) == "cut"
    assert server.kept["pump-7"].sequence == 1


def test_a_refused_part_behind_one_that_was_taken_leaves_the_stream(serve, write):
    server = serve(max_chunk_steps=1)
    path = write("r.csv", f"ax,ay,az\n1,2,3\n1,2,{FORBIDDEN}\n")

    command = ["stream", "--target", server.target, "--model", "sum", "--input", str(path)]
    assert main([*command, "--chunk", "2"]) == 2
    assert server.endings.get(timeout=10) == "cut"
