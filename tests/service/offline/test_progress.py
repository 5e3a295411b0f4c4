import io

from service.offline.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_without_a_terminal_there_is_a_line_every_few_seconds():
    stream, times = io.StringIO(), iter([0.0, 1.0, 10.0, 11.0])

    with progress("score", 4_000, stream, clock=lambda: next(times)) as report:
        for rows in (1_000, 1_000, 1_000):
            report(rows, 7)

    assert stream.getvalue() == ("score: 2,000 of 4,000 rows, 14 entities, 200 rows/s, 10 s left\n")


def test_what_an_earlier_run_has_done_counts_as_done_but_not_as_speed():
    stream, times = io.StringIO(), iter([0.0, 10.0])

    with progress("score", 4_000, stream, done=2_000, clock=lambda: next(times)) as report:
        report(1_000)

    assert stream.getvalue() == "score: 3,000 of 4,000 rows, 100 rows/s, 10 s left\n"


def test_nobody_knows_how_long_a_file_without_a_count_takes():
    stream, times = io.StringIO(), iter([0.0, 10.0])

    with progress("look", None, stream, clock=lambda: next(times)) as report:
        report(1_000)

    assert stream.getvalue() == "look: 1,000 rows, 100 rows/s\n"


def test_in_a_terminal_there_is_a_bar():
    stream = Terminal()

    with progress("score", 4_000, stream) as report:
        report(4_000, 31)

    assert "score: 100%" in stream.getvalue()
    assert "4.00k/4.00k" in stream.getvalue()
    assert "31 entities" in stream.getvalue()
