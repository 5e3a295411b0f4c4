"""The committed stubs are those of the contracts, and both copies live in one process."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from protos import generate

ROOT = Path(__file__).resolve().parents[2]


def test_the_stubs_are_up_to_date() -> None:
    command = [sys.executable, "-m", "protos.generate", "--check"]
    # As after `make setup`: nothing of the environment on the path.
    environment = {**os.environ, "PATH": os.defpath}

    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )

    assert (result.returncode, result.stderr) == (0, "")


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stubs and contracts where they may be spoilt."""
    shutil.copytree(ROOT / "protos/statewise", tmp_path / "protos/statewise")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "SOURCES", tmp_path / "protos")
    copy = generate.Copy(
        tmp_path / "protos",
        "protos",
        ("statewise/v1/manifest", "statewise/v1/status", "statewise/v1/stream"),
    )
    monkeypatch.setattr(generate, "COPIES", (copy,))
    return tmp_path


def test_an_unchanged_copy_passes(copies: Path) -> None:
    assert generate.main(["--check"]) == 0


def test_a_changed_contract_makes_its_stubs_stale(
    copies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contract = copies / "protos/statewise/v1/manifest.proto"
    contract.write_text(contract.read_text().replace("string name = 2;", "string title = 2;"))

    assert generate.main(["--check"]) == 1
    assert "manifest_pb2.py" in capsys.readouterr().err
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0


def test_a_hand_edited_or_missing_stub_is_stale(
    copies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copies / "protos/statewise/v1/stream_pb2.py").write_text("# edited")
    (copies / "protos/statewise/v1/status_pb2.pyi").unlink()

    assert generate.main(["--check"]) == 1
    message = capsys.readouterr().err
    assert "stream_pb2.py" in message
    assert "status_pb2.pyi" in message
    assert (copies / "protos/statewise/v1/stream_pb2.py").read_text() == "# edited"


def test_both_copies_load_in_one_process_and_read_each_other() -> None:
    program = (
        "from protos.statewise.v1 import manifest_pb2, status_pb2, stream_pb2, stream_pb2_grpc\n"
        "from statewise_client._generated.statewise.v1 import (\n"
        "    status_pb2 as client_status, stream_pb2 as client, stream_pb2_grpc as client_grpc)\n"
        "sent = client.Open(model='activity', stream_id='seven')\n"
        "received = stream_pb2.Open.FromString(sent.SerializeToString())\n"
        "assert (received.model, received.stream_id) == ('activity', 'seven')\n"
        "assert client_grpc is not stream_pb2_grpc and client_status is not status_pb2\n"
    )
    command = [sys.executable, "-W", "error", "-c", program]

    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
