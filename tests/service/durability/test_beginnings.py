"""What streams begin with: a state that was brought, its model, and what stands under their id."""

import numpy as np
import pytest
from fakes import alone, distinct, fake_model
from kept_server import kept_server, state_after

from service.durability import blob
from service.durability.keys import StateKeys
from service.durability.snapshots import NamedState
from service.errors import AlreadyExists, InvalidArgument
from service.stores.memory import MemoryStore

KEY, OTHER_KEY = (StateKeys(bytes([number]) * 32) for number in (1, 2))


async def kept_state(server, inputs):
    """The state of a stream that is left behind as `pump`."""
    stream = await server.begun()
    await server.push(stream, inputs)
    server.kept.leave(stream)
    return (await server.operations.export("pump", "")).state


async def reason(awaitable, kind=InvalidArgument):
    with pytest.raises(kind) as caught:
        await awaitable
    return caught.value.reason


async def test_an_imported_state_is_not_begun_over_by_mistake():
    # One that no other server shares, where an id that took no chunk is begun over.
    server = kept_server(MemoryStore(10**6))
    state = await kept_state(server, distinct(3, 28))
    await server.operations.import_state(state, "copy", "")
    assert await reason(server.begun("copy"), AlreadyExists) == "STREAM_KEPT"
    # What a list says of it, and what a resume goes on with.
    assert (await server.store.read("copy")).steps == (await server.resumed("copy")).steps == 3


async def test_what_was_signed_with_the_key_before_is_imported_begun_with_and_resumed():
    before = kept_server(keys=KEY)
    inputs = distinct(6, 26)
    state = await kept_state(before, inputs[:2])
    keys = StateKeys(OTHER_KEY.signing, (KEY.signing,))
    after = kept_server(before.store, keys=keys)

    assert (await after.operations.import_state(state, "copy", "")).steps == 2
    begun = await after.begun("anew", initial_state=state)
    resumed = await after.resumed()
    for stream in (begun, resumed, await after.resumed("copy")):
        outputs = await after.push(stream, inputs[2:])
        assert outputs.tobytes() == alone(inputs)[2:].tobytes()


async def test_a_state_that_is_begun_with_has_to_be_signed():
    server, other = kept_server(keys=KEY), kept_server(keys=OTHER_KEY)
    state = await kept_state(server, distinct(1, 27))
    for fields in ({}, {"ephemeral": True}):
        begun = other.begun("anew", initial_state=state, **fields)
        assert await reason(begun) == "BLOB_SIGNATURE"


@pytest.mark.parametrize(
    ("keys", "fault"), [(KEY, "BLOB_SIGNATURE"), (StateKeys(), "BLOB_UNSIGNED")]
)
async def test_what_the_store_keeps_has_to_be_signed_to_be_gone_on_with(keys, fault):
    other = kept_server(keys=keys)
    await kept_state(other, distinct(1, 31))
    server = kept_server(other.store, keys=OTHER_KEY)
    assert await reason(server.resumed()) == fault
    assert server.model.arena.slots.taken == 0


@pytest.mark.parametrize("fields", [{"replace": True}, {"ephemeral": True}])
async def test_a_state_that_is_refused_costs_nothing_of_what_stands_under_the_id(fields):
    server = kept_server()
    inputs = distinct(3, 29)
    exported = blob.decode(await kept_state(server, inputs))
    short = (NamedState("state", np.zeros(1, np.float32)),)
    state = blob.encode(type(exported)(**(vars(exported) | {"states": short})))
    assert await reason(server.begun(initial_state=state, **fields)) == "STATE_SHAPE"
    await server.kept.keeper.flush()
    assert await server.stored() == (3, 3, state_after(inputs))
    assert server.model.arena.slots.taken == 0


async def test_a_state_goes_on_with_the_newest_version_of_its_weights():
    server = kept_server()
    state = await kept_state(server, distinct(2, 30))
    for version in (3, 2):
        server.streams._models.add(fake_model(version=version))
    assert (await server.operations.import_state(state, "copy", "")).version == "3"
    assert (await server.resumed("copy")).model.version == 3
