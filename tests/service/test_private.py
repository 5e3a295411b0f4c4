"""Files that settings name: what is said of one that can't be read, or is no secret any more."""

import errno
import os
from pathlib import Path

import pytest

from service.errors import SettingsError
from service.private import read_private, read_public


@pytest.mark.parametrize("read", [read_private, read_public])
def test_a_file_of_another_user_is_told_with_who_has_to_own_it(tmp_path, monkeypatch, read):
    path = tmp_path / "server.key"
    path.write_text("key")

    def denied(_path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    # To root, as whom CI runs, no file is closed.
    monkeypatch.setattr(Path, "read_bytes", denied)
    monkeypatch.setattr(os, "geteuid", lambda: 10001)

    with pytest.raises(SettingsError) as error:
        read("tls_key", path)
    assert error.value.message == (
        f"tls_key is {path}, which can't be read: Permission denied; make user 10001 its owner"
    )


@pytest.mark.parametrize("read", [read_private, read_public])
def test_a_file_that_is_missing_is_told_by_its_setting(tmp_path, read):
    with pytest.raises(SettingsError, match=r"tls_key is .*can't be read: No such file"):
        read("tls_key", tmp_path / "server.key")


@pytest.mark.parametrize(("read", "words"), [(read_private, 1), (read_public, 0)])
def test_a_secret_alone_is_warned_of_where_every_account_can_read_it(tmp_path, caplog, read, words):
    path = tmp_path / "server.pem"
    path.write_text("text")
    path.chmod(0o644)

    assert read("tls_cert", path) in ("text", b"text")
    assert caplog.text.count("every account can read") == words
