"""Servers that end with their test, and both clients for every test that asks for one."""

from collections.abc import Callable, Iterator

import pytest
from fake_server import Behaviour, FakeServer
from shells import SHELLS


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
