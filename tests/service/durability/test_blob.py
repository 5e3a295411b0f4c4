"""A snapshot as bytes: what goes in comes out, and what was changed is refused by name."""

import hashlib
import hmac
import struct

import numpy as np
import pytest
from fakes import fake_model
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, from_dtype

from protos.statewise.v1 import state_pb2 as wire
from service.durability.blob import decode, encode
from service.durability.snapshots import NamedState, Snapshot, take
from service.errors import InvalidArgument

KEY, OLD_KEY, FOREIGN_KEY = (bytes([number]) * 32 for number in (1, 2, 3))
DTYPES = (
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16",
    "float32", "float64",
)  # fmt: skip
MAGIC, VERSION, CHECKSUM, SIGNATURE, END = 0, 8, 12, 44, 76
PLACES = {
    "BLOB_NOT_STATE": range(MAGIC, VERSION),
    "BLOB_VERSION": range(VERSION, CHECKSUM),
}


def snapshot_of(*states, steps=5):
    return Snapshot("pump", "3", "sha256:weights", "sha256:bits", states, steps)


def a_snapshot(seed=1):
    values = np.random.default_rng(seed).normal(size=(2, 3)).astype(np.float32)
    return snapshot_of(NamedState("hidden", values), NamedState("clock", np.array(7, np.int64)))


def sealed(payload: bytes, version: int = 1, signature: bytes = bytes(32)) -> bytes:
    """A blob as the module's docstring draws it."""
    checksum = hashlib.sha256(payload).digest()
    return b"SWSTATE\0" + struct.pack("<I", version) + checksum + signature + payload


def reason(data: bytes, key: bytes | None = None, previous: tuple[bytes, ...] = ()) -> str:
    with pytest.raises(InvalidArgument) as refused:
        decode(data, key, previous)
    assert len(refused.value.message) < 1_000
    return refused.value.reason


def plain(snapshot: Snapshot) -> tuple[object, ...]:
    """All of a snapshot, its numbers as bits."""
    states = [
        (one.name, one.values.dtype, one.values.shape, one.values.tobytes())
        for one in snapshot.states
    ]
    said = (snapshot.model, snapshot.version, snapshot.digest, snapshot.fingerprint)
    return (*said, snapshot.steps, states)


# Without the smallest numbers, which ONNX Runtime makes zeros of in the whole process.
any_values = st.sampled_from(DTYPES).flatmap(
    lambda name: arrays(
        name,
        array_shapes(min_dims=0, max_dims=8, min_side=0, max_side=3),
        elements=from_dtype(np.dtype(name), allow_subnormal=False),
    )
)


@given(
    states=st.lists(st.builds(NamedState, st.text(max_size=8), any_values), max_size=3),
    steps=st.integers(0, 2**64 - 1),
    key=st.sampled_from([None, KEY]),
)
def test_every_state_comes_back_to_the_same_bits(states, steps, key):
    snapshot = snapshot_of(*states, steps=steps)
    assert plain(decode(encode(snapshot, key), key)) == plain(snapshot)


def test_the_state_of_a_model_comes_back():
    model = fake_model()
    row = np.random.default_rng(2).normal(size=model.state_layout.width).astype(np.float32)
    snapshot = take(model, row, 9)
    assert plain(decode(encode(snapshot))) == plain(snapshot)


def test_numbers_stand_little_endian_whatever_the_machine_made():
    values = np.array([1.5, -2.25], ">f4")
    data = encode(snapshot_of(NamedState("hidden", values)))
    assert np.array([1.5, -2.25], "<f4").tobytes() in data
    back = decode(data).states[0].values
    assert (back.dtype, back.tolist()) == (np.dtype("=f4"), [1.5, -2.25])


@pytest.mark.parametrize("key", [None, KEY], ids=["unsigned", "signed"])
def test_the_bytes_stand_where_the_docstring_says(key):
    data = encode(a_snapshot(), key)
    payload = data[END:]
    unsigned = sealed(payload)
    signature = hmac.digest(key, unsigned, "sha256") if key else bytes(32)
    assert data == sealed(payload, signature=signature)
    message = wire.Snapshot.FromString(payload)
    assert (message.model, message.steps, len(message.states)) == ("pump", 5, 2)
    # Equal states are equal bytes.
    assert encode(a_snapshot(), key) == data


@pytest.mark.parametrize("key", [None, KEY], ids=["unsigned", "signed"])
def test_a_blob_that_was_changed_in_any_bit_is_refused(key):
    data = encode(a_snapshot(), key)
    found = {}
    for place in range(len(data)):
        if key is None and SIGNATURE <= place < END:
            # Which nobody believes without a key.
            continue
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            found.setdefault(reason(bytes(changed), key), set()).add(place)
    rest = set(range(CHECKSUM, len(data)))
    wanted = {name: set(places) for name, places in PLACES.items()}
    if key is None:
        wanted["BLOB_CHECKSUM"] = rest - set(range(SIGNATURE, END))
    else:
        wanted["BLOB_SIGNATURE"] = rest
    assert found == wanted


@pytest.mark.parametrize("key", [None, KEY], ids=["unsigned", "signed"])
def test_a_blob_that_was_cut_or_grew_is_refused(key):
    data = encode(a_snapshot(), key)
    torn = "BLOB_SIGNATURE" if key else "BLOB_CHECKSUM"
    for length in range(len(data)):
        assert reason(data[:length], key) == ("BLOB_NOT_STATE" if length < END else torn)
    assert reason(data + b"\0", key) == torn


@pytest.mark.parametrize("data", [b"", b"SWSTATE", b"PK\3\4" + bytes(96), bytes(200)])
def test_what_is_no_blob_is_told_so(data):
    assert reason(data) == "BLOB_NOT_STATE"


@pytest.mark.parametrize("version", [0, 2, 2**32 - 1])
def test_another_format_is_named(version):
    with pytest.raises(InvalidArgument, match=f"format version {version}; .* reads 1") as refused:
        decode(sealed(b"", version))
    assert (refused.value.reason, refused.value.metadata) == (
        "BLOB_VERSION",
        {"version": str(version)},
    )


def test_who_has_a_key_takes_signed_states_only():
    assert reason(encode(a_snapshot()), KEY) == "BLOB_UNSIGNED"
    assert reason(encode(a_snapshot(), FOREIGN_KEY), KEY) == "BLOB_SIGNATURE"
    # The signature of another state under the right key.
    other, data = encode(a_snapshot(3), KEY), encode(a_snapshot(), KEY)
    assert reason(data[:SIGNATURE] + other[SIGNATURE:END] + data[END:], KEY) == "BLOB_SIGNATURE"
    # Whoever has no key has no way to tell, and takes what is whole.
    assert plain(decode(data)) == plain(a_snapshot())


def test_a_key_is_rotated_without_a_state_being_refused():
    old, new = encode(a_snapshot(), OLD_KEY), encode(a_snapshot(), KEY)
    for data in (old, new):
        assert plain(decode(data, KEY, (FOREIGN_KEY, OLD_KEY))) == plain(a_snapshot())
    assert reason(old, KEY) == "BLOB_SIGNATURE"
    assert reason(encode(a_snapshot()), KEY, (OLD_KEY,)) == "BLOB_UNSIGNED"


def with_tensor(**fields):
    known = {"name": "hidden", "dtype": "float32", "shape": [2], "data": bytes(8)}
    message = wire.Snapshot(states=[wire.StateTensor(**(known | fields))])
    return sealed(message.SerializeToString())


def test_a_blob_that_is_well_made_by_hand_is_read():
    assert decode(with_tensor()).states[0].values.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"dtype": "object"}, "hidden has dtype 'object'"),
        ({"dtype": ""}, "hidden has dtype ''"),
        ({"dtype": "O" * 10**6}, "hidden has dtype 'OOO"),
        ({"data": bytes(7)}, "hidden has 7 bytes for [2]"),
        ({"shape": []}, "hidden has 8 bytes for []"),
        ({"shape": [0]}, "hidden has 8 bytes for [0]"),
        # 64 exabytes, of which 8 are there.
        ({"shape": [2**32 - 1] * 2}, "hidden has 8 bytes for [4294967295, 4294967295]"),
        ({"shape": [2, 1, 1, 1, 1, 1, 1, 1, 1]}, "hidden has 9 axes, of which 8 are served"),
        ({"name": "n" * 10**6, "dtype": "text"}, "nnn... has dtype 'text'"),
    ],
)
def test_content_that_is_none_is_refused_however_well_it_is_sealed(fields, said):
    data = with_tensor(**fields)
    assert reason(data) == "BLOB_CONTENT"
    with pytest.raises(InvalidArgument) as refused:
        decode(data)
    assert said in refused.value.message


def test_a_sealed_message_that_is_none_is_refused():
    assert reason(sealed(b"\x0a\xff\xff\xff\xff\x0f")) == "BLOB_CONTENT"
    assert reason(sealed(b"\x0a\x02\xff\xfe")) == "BLOB_CONTENT"
