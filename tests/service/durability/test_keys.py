import logging
import secrets

import numpy as np
import pytest

from service.durability import blob
from service.durability.keys import StateKeys, load_state_keys
from service.durability.snapshots import NamedState, Snapshot
from service.errors import InvalidArgument, SettingsError

KEYS = [secrets.token_hex(32) for _ in range(3)]
STATE = NamedState("state", np.random.default_rng(5).normal(size=16).astype(np.float32))
SNAPSHOT = Snapshot("random", "1", "sha256:00", "ff", (STATE,), 7)


@pytest.fixture
def write(tmp_path):
    def write(*lines):
        path = tmp_path / "state.keys"
        path.touch(0o600)
        path.write_text("\n".join(lines))
        return path

    return write


def test_the_first_key_signs_and_those_behind_it_are_believed(write):
    keys = load_state_keys(write("# new", KEYS[0], "", f"{KEYS[1].upper()}  # old"))
    assert keys == StateKeys(bytes.fromhex(KEYS[0]), (bytes.fromhex(KEYS[1]),))
    for signer in KEYS[:2]:
        data = blob.encode(SNAPSHOT, bytes.fromhex(signer))
        assert blob.decode(data, keys.signing, keys.previous).steps == 7
    stranger = blob.encode(SNAPSHOT, bytes.fromhex(KEYS[2]))
    with pytest.raises(InvalidArgument) as refused:
        blob.decode(stranger, keys.signing, keys.previous)
    assert refused.value.reason == "BLOB_SIGNATURE"
    assert blob.encode(SNAPSHOT, keys.signing) == blob.encode(SNAPSHOT, bytes.fromhex(KEYS[0]))


def test_without_a_file_nothing_is_signed():
    assert load_state_keys(None) == StateKeys(None, ())


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([], "has 0 keys; write 1 to 16"),
        (["# nothing"], "has 0 keys"),
        ([KEYS[0], KEYS[1][:-2]], "whose line 2 is no key of at least 64 hexadecimal digits"),
        ([KEYS[0][:-1] + "g"], "whose line 1 is no key"),
        ([secrets.token_hex(32) for _ in range(17)], "has 17 keys"),
    ],
)
def test_what_is_no_key_is_refused_without_being_repeated(write, lines, fault):
    with pytest.raises(SettingsError, match=fault) as refused:
        load_state_keys(write(*lines))
    assert not any(line[:16] in str(refused.value) for line in lines if line[0] != "#")


def test_keys_are_not_shown(write):
    assert KEYS[0] not in repr(load_state_keys(write(*KEYS)))


def test_a_file_that_cannot_be_read_is_named(tmp_path, write):
    with pytest.raises(SettingsError, match=r"state_key_file is .*gone, which can't be read: No"):
        load_state_keys(tmp_path / "gone")
    path = write()
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="no text in UTF-8"):
        load_state_keys(path)
    path.write_bytes(bytes(2_000_000))
    with pytest.raises(SettingsError, match="2000000 bytes"):
        load_state_keys(path)


def test_who_leaves_a_file_open_to_every_account_is_warned(write, caplog):
    path = write(*KEYS)
    with caplog.at_level(logging.WARNING):
        load_state_keys(path)
        assert caplog.text == ""
        path.chmod(0o644)
        load_state_keys(path)
    assert "state_key_file is" in caplog.text
    assert "chmod o-r" in caplog.text
    assert not any(key in caplog.text for key in KEYS)
