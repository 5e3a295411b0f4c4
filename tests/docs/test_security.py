"""The commands of the page on security, run as they stand there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from service.callers.token_file import hash_token, load_callers
from service.durability.keys import load_state_keys
from service.metrics import Metrics
from service.rpc.tls import server_credentials
from service.settings import Settings

PAGE = (Path(__file__).resolve().parents[2] / "docs/security.md").read_text()
BLOCKS = re.findall(r"(?:^    .*\n)+", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("security")
    lines = [
        line.strip()
        for block in BLOCKS
        for line in block.splitlines()
        if line.strip().startswith(("openssl", "chmod", "(umask"))
    ]
    assert len(lines) == 6, lines
    if shutil.which("openssl") is None and not os.environ.get("CI"):
        pytest.skip("openssl is not here: apt-get install openssl")
    for line in lines:
        subprocess.run(
            ["bash", "-c", line], cwd=folder, check=True, capture_output=True, timeout=60
        )
    return folder


def test_the_certificates_can_be_served(folder):
    pair = {"tls_cert": folder / "server.crt", "tls_key": folder / "server.key"}
    settings = Settings(Path("models"), tls_client_ca=folder / "ca.crt", **pair)
    assert isinstance(server_credentials(settings), grpc.ServerCredentials)


@pytest.mark.parametrize("name", ["server", "ward-7"])
def test_the_certificates_are_the_authority_s(folder, name):
    words = ["openssl", "verify", "-CAfile", "ca.crt", f"{name}.crt"]
    assert subprocess.run(words, cwd=folder, capture_output=True, check=False).returncode == 0


def test_the_hash_of_a_token_is_the_one_that_the_server_takes(folder):
    (line,) = [line for line in PAGE.splitlines() if line.startswith("    tr ")]
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=True
    )
    token = (folder / "ward-7.token").read_text().strip()
    assert done.stdout.split()[0] == hash_token(token).hex()


def test_the_callers_are_read(folder):
    text = "\n".join(block for block in BLOCKS if "[[caller]]" in block)
    path = folder / "callers.toml"
    path.write_text(re.sub("^    ", "", text, flags=re.MULTILINE))
    assert [one.name for one in load_callers(path)] == ["ward-7", "operations"]


def test_the_key_is_one(folder):
    assert load_state_keys(folder / "state.keys").signing


def test_secrets_are_for_their_owner_alone(folder):
    for name in ("ward-7.token", "state.keys"):
        assert (folder / name).stat().st_mode & 0o077 == 0


def test_settings_of_the_table_exist():
    names = {name.lower() for name in re.findall(r"`STATEWISE_(\w+)`", PAGE)}
    names |= {name.replace("-", "_") for name in re.findall(r"`--([\w-]+)`, ", PAGE)}
    assert names >= {"max_streams", "max_message_bytes", "max_requests"}
    assert [name for name in names if not hasattr(Settings(Path("models")), name)] == []


def test_metrics_of_the_table_are_there_and_its_settings_are_options():
    (table,) = re.findall(r"\| what \| setting .*\n(?:\|.*\n)+", PAGE)
    told = {name for name, _ in re.findall(r"`(statewise_\w+?)(_total)?`", table)}
    assert told <= {family.name for family in Metrics().registry.collect()}
    options = subprocess.run(
        [sys.executable, "-m", "service", "serve", "--help"], capture_output=True, text=True
    ).stdout
    assert [one for one in re.findall(r"`(--[\w-]+)`", table) if one not in options] == []
