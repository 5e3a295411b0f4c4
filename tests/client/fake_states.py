"""The operations on states, of the streams that a fake server keeps."""

import grpc
from fake_model import Kept, blob, parsed
from fake_refusals import abort

from protos.statewise.v1 import state_pb2 as state_wire
from protos.statewise.v1.state_pb2_grpc import StateServiceServicer


def disturbed(method):
    """The same, refused or broken off where its server is told so."""

    def asked(self, request, context):
        server, name = self.server, method.__name__
        server.asked.append(name)
        if name in server.refuses:
            abort(context, grpc.StatusCode.UNAVAILABLE, server.refuses.pop(name))
        answer = method(self, request, context)
        if server.breaks[name]:
            server.breaks[name] -= 1
            # Without details, as where the connection is lost.
            context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        return answer

    return asked


class FakeStates(StateServiceServicer):
    """The states of a fake server's streams; lists two a page."""

    def __init__(self, server) -> None:
        self.server = server

    def _of(self, stream_id: str, context) -> Kept:
        self.server.metadata.append(dict(context.invocation_metadata()))
        kept = self.server.kept.get(stream_id)
        if kept is None or kept.closed:
            abort(context, grpc.StatusCode.NOT_FOUND, "STREAM_NOT_FOUND")
        return kept

    @disturbed
    def Export(self, request, context):  # noqa: N802
        kept = self._of(request.stream_id, context)
        return state_wire.ExportResponse(state=blob(kept), stream=told(request.stream_id, kept))

    @disturbed
    def Import(self, request, context):  # noqa: N802
        name = request.stream_id or "made-up"
        if name in self.server.kept and not request.replace:
            abort(context, grpc.StatusCode.ALREADY_EXISTS, "STREAM_KEPT")
        kept = self.server.kept[name] = parsed(request.state)
        return state_wire.ImportResponse(stream=told(name, kept))

    @disturbed
    def Fork(self, request, context):  # noqa: N802
        kept = parsed(blob(self._of(request.stream_id, context)))
        name = request.new_stream_id or "made-up"
        self.server.kept[name] = kept
        return state_wire.ForkResponse(stream=told(name, kept))

    @disturbed
    def Close(self, request, context):  # noqa: N802
        kept = self._of(request.stream_id, context)
        kept.closed = True
        state = blob(kept) if request.return_state else b""
        return state_wire.CloseStreamResponse(steps=kept.steps, state=state)

    @disturbed
    def List(self, request, context):  # noqa: N802
        names = sorted(name for name, kept in self.server.kept.items() if not kept.closed)
        place = int(request.page_token or 0)
        page = names[place : place + 2]
        token = str(place + 2) if place + 2 < len(names) else ""
        streams = [told(name, self.server.kept[name]) for name in page]
        return state_wire.ListResponse(streams=streams, next_page_token=token)


def told(name: str, kept: Kept) -> state_wire.StreamSummary:
    return state_wire.StreamSummary(
        stream_id=name,
        model="sum",
        version="3",
        sequence=kept.sequence,
        steps=kept.steps,
        owner="me",
        stored_unix_ms=1_700_000_000_500 if kept.stored else 0,
    )
