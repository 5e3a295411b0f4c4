"""Between messages of the Open Inference Protocol and the requests behind the seam.

Owns the conversion, in both directions, and nothing else.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from protos.inference import service_pb2 as wire
from service.callers.access import Identity
from service.errors import InvalidArgument, ServiceError, shorten
from service.inference.requests import Answer, Input, Request, SequenceId
from service.tensors import dtype_of_wire, wire_name
from service.tick.statistics import Durations

# Which field carries the numbers of a datatype, where they don't come as raw bytes.
_CONTENTS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}
_FINAL = "triton_final_response"


def request_of(message: wire.ModelInferRequest, caller: Identity) -> Request:
    """What a message asks for.

    Raises:
        InvalidArgument: a parameter or the contents of an input are not of their kind.
    """
    sequence, start, end = _sequence(message.parameters)
    return Request(
        model=message.model_name,
        version=message.model_version,
        inputs=_inputs(message),
        sequence=sequence,
        start=start,
        end=end,
        outputs=tuple(one.name for one in message.outputs) if message.outputs else (),
        caller=caller,
    )


def _sequence(
    parameters: Mapping[str, wire.InferParameter],
) -> tuple[SequenceId | None, bool, bool]:
    if not parameters:
        return None, False, False
    sequence: SequenceId | None = None
    if "sequence_id" in parameters:
        given = parameters["sequence_id"]
        kind = given.WhichOneof("parameter_choice")
        if kind not in ("int64_param", "uint64_param", "string_param"):
            raise InvalidArgument(
                f"sequence_id is a {kind or 'value of no kind'}; send a whole number or a text",
                reason="SEQUENCE_ID_KIND",
            )
        sequence = getattr(given, kind)
    return sequence, _flag(parameters, "sequence_start"), _flag(parameters, "sequence_end")


def _flag(parameters: Mapping[str, wire.InferParameter], name: str) -> bool:
    if name not in parameters:
        return False
    given = parameters[name]
    if given.WhichOneof("parameter_choice") != "bool_param":
        raise InvalidArgument(f"{name} is no truth value; send bool_param", reason="PARAMETER_KIND")
    return given.bool_param


def _inputs(message: wire.ModelInferRequest) -> list[Input]:
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise InvalidArgument(
            f"raw_input_contents has {len(raw)} entries for {len(message.inputs)} inputs; send one "
            "each",
            reason="RAW_CONTENTS",
        )
    return [
        Input(one.name, one.datatype, tuple(one.shape), raw[index] if raw else _typed(one))
        for index, one in enumerate(message.inputs)
    ]


def _typed(one: wire.ModelInferRequest.InferInputTensor) -> bytes:
    """The numbers of an input that came one by one."""
    dtype, field = dtype_of_wire(one.datatype), _CONTENTS.get(one.datatype)
    name = shorten(one.name)
    if "shared_memory_region" in one.parameters:
        raise InvalidArgument(
            f"input {name!r} lies in shared memory, which is not offered; send its bytes",
            reason="SHARED_MEMORY",
        )
    if dtype is None or field is None:
        raise InvalidArgument(
            f"input {name!r} is {shorten(one.datatype) or 'of no datatype'} in contents; send "
            "raw_input_contents",
            reason="DTYPE",
        )
    try:
        return np.array(getattr(one.contents, field), dtype).tobytes()
    except OverflowError as error:
        raise InvalidArgument(f"input {name!r}: {shorten(str(error))}", reason="DTYPE") from None


def response_of(message: wire.ModelInferRequest, answer: Answer) -> wire.ModelInferResponse:
    """The answer to a message."""
    response = wire.ModelInferResponse(
        model_name=message.model_name,
        model_version=str(answer.model.version),
        id=message.id,
        raw_output_contents=[data for _, _, data in answer.outputs],
    )
    for tensor, shape, _ in answer.outputs:
        response.outputs.add(name=tensor.name, datatype=wire_name(tensor.dtype), shape=shape)
    return response


def stream_response(
    message: wire.ModelInferRequest, outcome: Answer | ServiceError
) -> wire.ModelStreamInferResponse:
    """The answer on a stream; an error comes with the request's id, and ends nothing."""
    if isinstance(outcome, ServiceError):
        reply = wire.ModelStreamInferResponse(error_message=outcome.message)
        reply.infer_response.id = message.id
        reply.infer_response.model_name = message.model_name
        told = reply.infer_response.parameters
        told["statewise_reason"].string_param = outcome.reason
        if outcome.retry_after is not None:
            told["statewise_retry_after_ms"].int64_param = int(outcome.retry_after * 1e3)
    else:
        reply = wire.ModelStreamInferResponse(infer_response=response_of(message, outcome))
    reply.infer_response.parameters[_FINAL].bool_param = True
    return reply


def durations(sums: Durations) -> dict[str, Any]:
    """Sums as the protocol's three fields."""
    return {
        "compute_input": wire.StatisticDuration(count=sums.count, ns=sums.input_ns),
        "compute_infer": wire.StatisticDuration(count=sums.count, ns=sums.infer_ns),
        "compute_output": wire.StatisticDuration(count=sums.count, ns=sums.output_ns),
    }
