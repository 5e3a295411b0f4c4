import numpy as np
import pytest

from benchmarks.errors import LoadError
from benchmarks.load.conversation import Conversation
from benchmarks.load.rows import ROWS, stream_rows
from benchmarks.load.sequence import SequenceWire
from protos.inference.service_pb2 import (
    ModelInferRequest,
    ModelInferResponse,
    ModelStreamInferResponse,
)


def request(message: bytes) -> tuple[int, bool, bool, bytes]:
    """Sequence, whether it starts, whether it ends, and the row."""
    one = ModelInferRequest.FromString(message)
    parameters = one.parameters
    return (
        parameters["sequence_id"].int64_param,
        "sequence_start" in parameters,
        "sequence_end" in parameters,
        one.raw_input_contents[0],
    )


def response(data: bytes = b"1234") -> ModelInferResponse:
    return ModelInferResponse(raw_output_contents=[data])


def test_a_sequence_starts_goes_on_and_ends_with_its_own_rows():
    wire, rows = SequenceWire("m", 4, 3), stream_rows(4, 3)
    steps = [wire.open(), *(wire.step() for _ in range(ROWS)), wire.close()]
    for number, message in enumerate(steps):
        row = rows[number % ROWS].tobytes()
        assert request(message) == (5, number == 0, number == ROWS + 1, row)


def test_answers_are_read_as_each_server_gives_them():
    wrapped = ModelStreamInferResponse(infer_response=response()).SerializeToString()
    assert SequenceWire("m", 0, 3).read(wrapped) == b"1234"
    bare = SequenceWire("m", 0, 3, wrapped=False)
    assert bare.read(response().SerializeToString()) == b"1234"
    numbers = ModelInferResponse()
    numbers.outputs.add(name="output").contents.fp32_contents.extend([1.5, -2.0])
    expected = np.array([1.5, -2.0], "<f4").tobytes()
    assert bare.read(numbers.SerializeToString()) == expected


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            ModelStreamInferResponse(error_message="sequence 1 is full"),
            "step 1: sequence 1 is full",
        ),
        (ModelStreamInferResponse(), "an answer without output"),
    ],
)
def test_anything_but_outputs_is_an_error(answer, text):
    wire = SequenceWire("m", 0, 3)
    wire.open()
    with pytest.raises(LoadError, match=text):
        wire.read(answer.SerializeToString())


def test_a_paced_stream_sends_only_what_it_is_told_to():
    latencies: list[int] = []
    conversation = Conversation(SequenceWire("m", 0, 3, wrapped=False), latencies, paced=True)
    conversation.open()
    assert not conversation.resting
    assert conversation.answer(response().SerializeToString(), 40) is None
    assert conversation.resting
    for due in (100, 150):
        conversation.post(due)
    assert not conversation.resting
    assert conversation.answer(response().SerializeToString(), 160) is None
    conversation.stopping = True
    # From when they were due, whenever they were sent.
    ending = conversation.answer(response().SerializeToString(), 190)
    assert latencies == [40, 60, 40]
    assert ending is not None
    assert request(ending)[2]
