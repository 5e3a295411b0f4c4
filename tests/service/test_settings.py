import dataclasses
from pathlib import Path

import pytest

from service.errors import SettingsError
from service.settings import Settings, from_environment, to_environment

FILES = ("tls_cert", "tls_key", "tls_client_ca", "token_file", "state_key_file")
REPOSITORY = {"STATEWISE_MODEL_REPOSITORY": "models"}


def test_every_setting_can_be_set_in_the_environment():
    defaults = Settings(Path("models"))
    others = dataclasses.replace(
        defaults,
        insecure_any_host=True,
        **{name: Path(name) for name in FILES},
    )
    for settings in (defaults, others):
        environment = to_environment(settings)
        assert len(environment) == len(dataclasses.fields(Settings))
        assert Settings.build(from_environment(environment)) == settings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_on_loopback_nobody_has_to_be_asked(host):
    assert Settings(Path("models"), host=host).anonymous


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "192.0.2.1", "statewise", ""])
def test_elsewhere_callers_are_asked_or_a_flag_says_that_they_are_not(host):
    with pytest.raises(SettingsError, match=r"host is .* give --token-file or --tls-client-ca, or"):
        Settings(Path("models"), host=host, tls_cert=Path("c"), tls_key=Path("k"))
    Settings(Path("models"), host=host, insecure_any_host=True)
    assert not Settings(Path("models"), host=host, token_file=Path("tokens")).anonymous
    pair = {"tls_cert": Path("c"), "tls_key": Path("k")}
    assert not Settings(Path("models"), host=host, tls_client_ca=Path("ca"), **pair).anonymous


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"host": "0.0.0.0", "token_file": Path("t")}, ["give --tls-cert and --tls-key"]),
        ({"host": "::1", "token_file": Path("t")}, []),
        (
            {
                "host": "0.0.0.0",
                "token_file": Path("t"),
                "tls_cert": Path("c"),
                "tls_key": Path("k"),
            },
            [],
        ),
        ({"host": "0.0.0.0", "insecure_any_host": True}, []),
        ({"workers": 2}, ["give --state-store sqlite:PATH or redis://"]),
        ({"workers": 2, "state_store": "sqlite:states.db"}, []),
        ({}, []),
    ],
)
def test_what_is_a_mistake_more_often_than_not_is_warned_of(given, says):
    cautions = Settings(Path("models"), **given).cautions
    assert len(cautions) == len(says)
    assert all(remedy in caution for remedy, caution in zip(says, cautions, strict=True))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tls_cert": Path("c")}, "tls_cert is set and tls_key is not"),
        ({"tls_key": Path("k")}, "tls_key is set and tls_cert is not"),
        ({"tls_client_ca": Path("a")}, "tls_client_ca is set and tls_cert is not"),
    ],
)
def test_files_that_belong_together_are_asked_for(given, message):
    with pytest.raises(SettingsError, match=message):
        Settings(Path("models"), **given)


def test_what_the_environment_leaves_out_keeps_its_default():
    assert Settings.build(from_environment(REPOSITORY)) == Settings(Path("models"))


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("STATEWISE_PORT", "http", "STATEWISE_PORT is 'http'; set it to a whole number"),
        ("STATEWISE_DRAIN_SECONDS", "long", "STATEWISE_DRAIN_SECONDS is 'long'; set it to a numb"),
        ("STATEWISE_PORT", "70000", "port is 70000; take a value from 0 to 65535"),
        ("STATEWISE_INSECURE_ANY_HOST", "maybe", "ANY_HOST is 'maybe'; set it to true or false"),
        ("STATEWISE_MAX_STREAMS", "0", "max_streams is 0; take a value from 1"),
        ("STATEWISE_PROVIDER", "tpu", "provider is 'tpu'; take one of cpu, cuda, auto"),
        ("STATEWISE_LOG_FORMAT", "xml", "log_format is 'xml'; take one of console, json"),
        ("STATEWISE_LOG_LEVEL", "all", "log_level is 'all'; take one of debug, info, warning"),
    ],
)
def test_a_bad_value_is_named_with_the_remedy(variable, text, message):
    with pytest.raises(SettingsError, match=message):
        Settings.build(from_environment(REPOSITORY | {variable: text}))


def test_a_missing_repository_is_asked_for():
    with pytest.raises(SettingsError, match="give --model-repository DIR"):
        Settings.build(from_environment({}))


def test_each_attribute_is_documented():
    text = Settings.__doc__
    assert [f.name for f in dataclasses.fields(Settings) if f"{f.name}:" not in text] == []
