"""The command `python -m service serve` as a process of its own, for tests."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO


class Server:
    """A running server and where it listens."""

    def __init__(self, process: "subprocess.Popen[str]", log: "IO[str] | None" = None) -> None:
        self.process = process
        self._log = log
        line = process.stdout.readline()
        ready = re.fullmatch(r"ready: grpc (\S+) metrics (\S+)\n", line)
        assert ready, line or self.log()
        self.target, self.metrics = ready.groups()

    def log(self) -> str:
        """What it and its workers have written to standard error so far."""
        if self._log is None:
            return ""
        # It writes at the position that it shares with this file.
        number = self._log.fileno()
        return os.pread(number, os.fstat(number).st_size, 0).decode()

    def counted(self, metric: str, **labels: str) -> float:
        """The sum of a metric over whatever labels are left open."""
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
        wanted = [f'{name}="{value}"' for name, value in labels.items()]
        found = [one for one in lines if re.match(rf"{metric}[{{ ]", one)]
        return sum(float(one.split()[-1]) for one in found if all(label in one for label in wanted))

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "service", "serve", *map(str, arguments)]


@contextlib.contextmanager
def serving(model_path: Path, *arguments: object) -> Iterator[Server]:
    repository = model_path.parent.parent.parent
    ports = ("--port", 0, "--metrics-port", 0)
    # A pipe that nobody reads from would hold the server up once it is full.
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command("--model-repository", repository, *ports, *arguments),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield Server(process, log)
        finally:
            process.kill()
            process.communicate()


def failed(*arguments: object, typed: str = "") -> str:
    """The one line that a refused start prints, whatever is typed to it."""
    done = subprocess.run(
        command(*arguments),
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        # Without a terminal, whoever asks there reads what is typed.
        start_new_session=True,
    )
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if " INFO " not in line]
    assert len(errors) == 1, done.stderr
    assert errors[0].startswith("error: ")
    return errors[0]
