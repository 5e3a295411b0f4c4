"""Servers that end with their test, and both clients for every test that asks for one."""

from collections.abc import Callable, Iterator

import pytest
from certificates import Authority, need_openssl
from fake_server import Behaviour, FakeServer
from shells import SHELLS
from statewise_client.__main__ import main


@pytest.fixture
def serve() -> Iterator[Callable[..., FakeServer]]:
    """Starts a server with a behaviour."""
    servers = []

    def start(credentials=None, **behaviour) -> FakeServer:
        server = FakeServer(Behaviour(**behaviour))
        server.start(credentials)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(params=SHELLS)
def connect(request) -> Callable[..., object]:
    """Makes a client; the test runs once with each kind."""
    return SHELLS[request.param]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Nothing from outside helps the command, and what it sets is taken back."""
    own = [f"STATEWISE_{name}" for name in ("TOKEN_FILE", "CA", "CERT", "KEY")]
    for name in ("GRPC_VERBOSITY", "PYTHONUNBUFFERED", *own):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def stream(serve, capsys):
    """Runs the command on a file; gives exit code, lines, and the text on stderr."""

    def run(path, *options, **behaviour):
        arguments = ["--target", serve(**behaviour).target, "--model", "sum", "--input", str(path)]
        code = main(["stream", *arguments, *options])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out.splitlines(), err

    return run


@pytest.fixture
def authority(tmp_path):
    """Signs certificates, in a folder of its own."""
    need_openssl()
    folder = tmp_path / "authority"
    folder.mkdir()
    return Authority(folder)


@pytest.fixture
def write(tmp_path):
    def file(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return file
