"""A real Redis on a socket of its own, which ends with the test."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import redis


class RedisServer:
    """A Redis that can be stopped, killed, and started again."""

    def __init__(self, folder: Path, *options: str) -> None:
        if shutil.which("redis-server") is None:
            missing = "redis-server is missing: apt-get install redis-server"
            if os.environ.get("CI"):
                pytest.fail(missing)
            pytest.skip(missing)
        self._folder = folder
        self._options = options
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        options = ["--port", "0", "--unixsocket", str(self.socket), "--dir", str(self._folder)]
        command = ["redis-server", *options, "--save", "", *self._options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self.process.poll() is None, "redis-server has ended"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with redis.Redis(unix_socket_path=str(self.socket)) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def kill(self) -> None:
        """Ends it as a power cut would."""
        self.send(signal.SIGCONT)
        self.process.kill()
        self.process.wait()
        self.socket.unlink(missing_ok=True)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ask(self, *command: str) -> object:
        with redis.Redis(unix_socket_path=str(self.socket)) as client:
            return client.execute_command(*command)
