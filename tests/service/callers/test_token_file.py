import hashlib
import secrets

import pytest

from service.callers.token_file import _SHORTEST_TOKEN, Caller, hash_token, load_callers
from service.errors import SettingsError

TOKEN = secrets.token_hex(32)
HASH = hashlib.sha256(TOKEN.encode()).hexdigest()
ENTRY = f'[[caller]]\nname = "ward"\ntoken = "{TOKEN}"\n'


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "callers.toml"
        path.touch(0o600)
        path.write_text(text)
        return load_callers(path)

    return load


def test_a_token_and_its_hash_are_the_same(load):
    written = load(ENTRY.replace(f'token = "{TOKEN}"', f'token_sha256 = "{HASH.upper()}"'))
    assert load(ENTRY) == written
    stream = frozenset({"stream"})
    assert written == [Caller("ward", hash_token(TOKEN), "", stream, None, 0.0)]
    assert written[0].token_hash == bytes.fromhex(HASH)


def test_a_token_of_the_least_length_is_taken(load):
    (caller,) = load(f"[[caller]]\nname = 'a'\ntoken = '{TOKEN[:_SHORTEST_TOKEN]}'")
    assert caller.token_hash == hash_token(TOKEN[:_SHORTEST_TOKEN])


def test_every_field_is_taken(load):
    (caller,) = load(
        '[[caller]]\nname = "a"\ncertificate = "a.example"\npermissions = ["admin", "stream"]\n'
        "max_streams = 3\nmax_steps_per_second = 2.5\n"
    )
    assert caller == Caller("a", b"", "a.example", frozenset({"admin", "stream"}), 3, 2.5)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "callers.toml: it is no list of"),
        ("[caller]\nname = 'a'", "no list of"),
        ("port = 1\n" + ENTRY, "no list of"),
        ("caller = [1]", "entry 1 is no table"),
        (ENTRY + "= 3", "no TOML at line 4"),
        (ENTRY + "[[caller]]\ntoken = 'x'", "entry 2 has no name of 1 to 128"),
        (ENTRY + "tokn = 'x'", "entry 1 has 'tokn'; take name, token, "),
        (ENTRY + "max_streams = 1.5", "entry 1 has a max_streams of another kind"),
        (ENTRY + "max_streams = true", "entry 1 has a max_streams of another kind"),
        (ENTRY + "max_streams = 0", "caller ward has max_streams 0; take 1 or more"),
        (ENTRY + "max_steps_per_second = inf", "max_steps_per_second inf"),
        (ENTRY + "max_steps_per_second = nan", "max_steps_per_second nan"),
        (ENTRY + "permissions = ['root']", "permissions other than admin and stream"),
        (ENTRY + "permissions = []", "permissions other than"),
        (ENTRY + "permissions = [['stream']]", "permissions other than"),
        (ENTRY + f"token_sha256 = '{HASH}'", "has a token and a token_sha256"),
        (
            "[[caller]]\nname = 'a'",
            "a has none of token, token_sha256, certificate; give one",
        ),
        ("[[caller]]\nname = 'a'\ntoken = 'short'", "caller a has a token of 5 characters"),
        (
            "[[caller]]\nname = 'a'\ntoken_sha256 = 'abc'",
            "caller a has a token_sha256 of other than 64 hexadecimal",
        ),
        (ENTRY + ENTRY.replace("ward", "other"), "one token_hash at two callers"),
        (ENTRY + f"[[caller]]\nname = 'ward'\ntoken = '{HASH}'", "one name at two callers"),
    ],
)
def test_a_mistake_is_named_and_no_token_repeated(load, text, fault):
    with pytest.raises(SettingsError) as error:
        load(text)
    assert fault in str(error.value)
    assert TOKEN[:8] not in str(error.value)
    assert "callers.toml" in str(error.value)


def test_a_hash_is_not_shown(load):
    assert HASH[:8] not in repr(load(ENTRY)) + str(load(ENTRY))
    assert repr(hash_token(TOKEN)) not in repr(load(ENTRY))
