"""The states of streams over gRPC: statewise.v1.StateService.

Owns the conversion between its messages and `operations`, and nothing else.
"""

from protos.statewise.v1 import state_pb2 as wire
from protos.statewise.v1.state_pb2_grpc import StateServiceServicer
from service.durability.operations import Operations, Summary
from service.rpc.access import caller
from service.rpc.status import answered


class StateServicer(StateServiceServicer):
    """Serves statewise.v1.StateService."""

    def __init__(self, operations: Operations) -> None:
        """Serves the operations behind the seam."""
        self._operations = operations

    @answered
    async def Export(self, request: wire.ExportRequest) -> wire.ExportResponse:
        """The state of a stream."""
        exported = await self._operations.export(
            request.stream_id, caller().name, others=caller().may("admin")
        )
        return wire.ExportResponse(state=exported.state, stream=_summary(exported.stream))

    @answered
    async def Import(self, request: wire.ImportRequest) -> wire.ImportResponse:
        """Keeps a state under an id."""
        kept = await self._operations.import_state(
            request.state, request.stream_id, caller().name, replace=request.replace
        )
        return wire.ImportResponse(stream=_summary(kept))

    @answered
    async def Fork(self, request: wire.ForkRequest) -> wire.ForkResponse:
        """Keeps a stream's state under another id as well."""
        forked = await self._operations.fork(
            request.stream_id, request.new_stream_id, caller().name
        )
        return wire.ForkResponse(stream=_summary(forked))

    @answered
    async def Close(self, request: wire.CloseStreamRequest) -> wire.CloseStreamResponse:
        """Ends a stream."""
        steps, state = await self._operations.close(
            request.stream_id,
            caller().name,
            others=caller().may("admin"),
            return_state=request.return_state,
        )
        return wire.CloseStreamResponse(steps=steps, state=state)

    @answered
    async def List(self, request: wire.ListRequest) -> wire.ListResponse:
        """The streams that are live here or kept: the caller's own, or everybody's."""
        if request.all_owners:
            caller().require("admin")
        owner = None if request.all_owners else caller().name
        page, after = await self._operations.page(request.page_token, request.page_size, owner)
        return wire.ListResponse(streams=map(_summary, page), next_page_token=after)


def _summary(stream: Summary) -> wire.StreamSummary:
    return wire.StreamSummary(
        stream_id=stream.stream_id,
        model=stream.model,
        version=stream.version,
        sequence=stream.sequence,
        steps=stream.steps,
        live=stream.live,
        owner=stream.owner,
        stored_unix_ms=stream.stored_ms,
    )
