"""The Open Inference Protocol with sequences: each stream a sequence, one step a request.

Owns its messages as a client sends and expects them, serialised before the clock starts. Triton and
Statewise answer with ModelStreamInferResponse, MLServer with ModelInferResponse.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.errors import LoadError
from benchmarks.load.rows import ROWS, stream_rows
from protos.inference.service_pb2 import (
    InferParameter,
    ModelInferRequest,
    ModelInferResponse,
    ModelStreamInferResponse,
)

# A message as an answer, or as the error that it brings.
_Parse = Callable[[bytes], ModelInferResponse | str]


class SequenceWire:
    """What one stream says in the Open Inference Protocol.

    Attributes:
        path: the gRPC method.
    """

    path = "/inference.GRPCInferenceService/ModelStreamInfer"

    def __init__(self, model: str, index: int, features: int, *, wrapped: bool = True) -> None:
        """Prepares a stream.

        Args:
            model: its name.
            index: which of the streams this is; its inputs and its sequence id follow from it.
            features: numbers of a step.
            wrapped: whether answers are ModelStreamInferResponse.
        """
        self._index = index
        self._sent = 0
        self._parse: _Parse = _wrapped if wrapped else ModelInferResponse.FromString
        rows = [row.tobytes() for row in stream_rows(index, features)]
        self._first = _request(model, index, rows[0], features, start=True)
        self._last = [_request(model, index, row, features, end=True) for row in rows]
        self._rows = [_request(model, index, row, features) for row in rows]

    def open(self) -> bytes:
        """The first step, which starts the sequence."""
        self._sent = 1
        return self._first

    def step(self) -> bytes:
        """The next step."""
        return self._take(self._rows)

    def close(self) -> bytes:
        """A step that ends the sequence."""
        return self._take(self._last)

    def read(self, message: bytes) -> bytes:
        """The first output's numbers.

        Raises:
            LoadError: it is an error, or says nothing.
        """
        answer = self._parse(message)
        if isinstance(answer, str):
            raise LoadError(f"stream {self._index}, step {self._sent}: {answer}")
        if answer.raw_output_contents:
            return answer.raw_output_contents[0]
        if not answer.outputs:
            raise LoadError(f"stream {self._index}, step {self._sent}: an answer without output")
        return np.array(answer.outputs[0].contents.fp32_contents, "<f4").tobytes()

    def _take(self, requests: list[bytes]) -> bytes:
        message = requests[self._sent % ROWS]
        self._sent += 1
        return message


def _wrapped(message: bytes) -> ModelInferResponse | str:
    """The answer inside, or the error."""
    answer = ModelStreamInferResponse.FromString(message)
    return answer.error_message or answer.infer_response


def _request(
    model: str, index: int, row: bytes, features: int, *, start: bool = False, end: bool = False
) -> bytes:
    request = ModelInferRequest(model_name=model, raw_input_contents=[row])
    request.inputs.add(name="input", datatype="FP32", shape=[1, features])
    # 0 is no sequence.
    request.parameters["sequence_id"].CopyFrom(InferParameter(int64_param=index + 1))
    for name, value in (("sequence_start", start), ("sequence_end", end)):
        if value:
            request.parameters[name].CopyFrom(InferParameter(bool_param=True))
    return request.SerializeToString()
