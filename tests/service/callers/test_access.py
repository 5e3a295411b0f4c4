import secrets
from pathlib import Path

import pytest

from service.callers.access import EVERYBODY, Access
from service.callers.quotas import Limits, Quotas
from service.errors import Forbidden, SettingsError, Unauthenticated
from service.settings import Settings

TOKEN = secrets.token_hex(32)
FILES = {name: Path(name) for name in ("tls_cert", "tls_key", "tls_client_ca")}


def access(path=None, quotas=None, **settings):
    options = Settings(Path("models"), token_file=path, **settings)
    return Access(options, quotas or Quotas(Limits(5)))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "callers.toml"
    path.touch(0o600)
    path.write_text(f"[[caller]]\nname = 'a'\ntoken = '{TOKEN}'\nmax_streams = 3\n")
    return path


def test_where_nothing_is_configured_everybody_may_do_everything():
    assert access().identify(None) is EVERYBODY
    assert access().identify("whatever", ["a"]) is EVERYBODY
    EVERYBODY.require("admin")


def test_permissions_are_asked_for_one_by_one(path):
    identity = access(path).identify(TOKEN)
    assert identity.name == "a"
    assert identity.may("stream")
    identity.require("admin", "stream")
    with pytest.raises(Forbidden, match="takes the permission admin") as refused:
        identity.require("admin")
    assert refused.value.reason == "PERMISSION_MISSING"


def test_callers_with_certificates_alone_take_a_server_that_asks_for_one(path, caplog):
    certificates = "[[caller]]\nname = 'b'\ncertificate = 'b.example'\n"
    table = access(path)
    path.write_text(certificates)
    # One that is changed so leaves the callers as they were.
    assert table.identify(TOKEN).name == "a"
    assert "nobody is asked for one; give --tls-client-ca" in caplog.text
    with pytest.raises(SettingsError, match=r"^token_file is .*give --tls-client-ca, or a caller"):
        access(path)
    assert access(path, **FILES).identify(None, ["b.example"]).name == "b"


def test_a_certificate_that_no_file_names_may_stream_only():
    identity = access(**FILES).identify(None, ["", "caller.example"])
    assert (identity.name, identity.permissions) == ("caller.example", {"stream"})
    for names in ([], [""]):
        with pytest.raises(Unauthenticated):
            access(**FILES).identify(None, names)


def test_where_there_is_a_file_a_certificate_has_to_be_in_it(path):
    table = access(path, **FILES)
    for names in (["a"], ["stranger"], []):
        with pytest.raises(Unauthenticated):
            table.identify(None, names)
    path.write_text("[[caller]]\nname = 'b'\ncertificate = 'b.example'\n")
    assert table.identify(None, ["other", "b.example"]).name == "b"
    with pytest.raises(Unauthenticated):
        table.identify(TOKEN, ["b.example"])
    with pytest.raises(Unauthenticated):
        table.identify("", ["b.example"])


def test_limits_follow_the_file(path):
    quotas = Quotas(Limits(5))
    table = access(path, quotas)
    assert quotas.of("a").limits == Limits(3)
    path.write_text(f"[[caller]]\nname = 'a'\ntoken = '{TOKEN}'\nmax_steps_per_second = 9\n")
    table.identify(TOKEN)
    assert quotas.of("a").limits == Limits(5, 9)


def test_a_file_that_cannot_be_used_fails_at_the_start_and_not_later(path):
    table = access(path)
    path.write_text("nothing")
    assert table.identify(TOKEN).name == "a"
    with pytest.raises(SettingsError, match="no TOML"):
        access(path)
