from pathlib import Path

from benchmarks.peers.plain import LIMITS
from service.rpc.server import _options
from service.settings import Settings


def test_plain_servers_have_the_service_s_own_limits():
    ours = [(name, value) for name, value in _options(Settings(Path())) if "pending" in name]
    assert list(LIMITS) == ours
