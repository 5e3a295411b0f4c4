import io

from service.offline.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_without_a_terminal_there_is_a_line_every_few_seconds():
    stream, times = io.StringIO(), iter([0.0, 1.0, 10.0, 11.0])

    with progress(4_000, stream, lambda: next(times)) as report:
        for steps in (1_000, 1_000, 1_000):
            report(steps)

    assert stream.getvalue() == "scored 2,000 of 4,000 steps, 200 steps/s, 10 s left\n"


def test_in_a_terminal_there_is_a_bar():
    stream = Terminal()

    with progress(4_000, stream) as report:
        report(4_000)

    assert "score: 100%" in stream.getvalue()
    assert "4.00k/4.00k" in stream.getvalue()
