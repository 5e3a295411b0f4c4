"""The Open Inference Protocol, with Triton's extensions for streams, sequences and repositories.

Owns the calls; messages are converted in `inference_wire`, what they mean is behind the seam. On a
stream, requests of any sequences may be under way at once; answers leave as they come, those of one
sequence in their order.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import grpc

from protos.inference import service_pb2 as wire
from protos.inference.service_pb2_grpc import GRPCInferenceServiceServicer
from service.catalogue import Catalogue
from service.description import describe, metadata_shape
from service.errors import NotFound, ServiceError
from service.models import Models, ServedModel
from service.requests import Answer
from service.rpc.doorway import Doorway
from service.rpc.inference_wire import durations, request_of, response_of, stream_response
from service.rpc.status import answered, errors_as_status
from service.sequences import Sequences
from service.tensors import wire_name

_Context = grpc.aio.ServicerContext[Any, Any]
_EXTENSIONS = ("sequence", "model_repository", "model_configuration", "statistics")
# Requests of one stream under way at once; behind them, gRPC's flow control holds the caller up.
_MOST_PENDING = 1_024


class InferenceServicer(GRPCInferenceServiceServicer):
    """Serves inference.GRPCInferenceService."""

    def __init__(
        self, models: Models, sequences: Sequences, catalogue: Catalogue, doorway: Doorway
    ) -> None:
        """Serves the models behind the seam, newcomers first where streams crowd."""
        self._doorway = doorway
        self._models = models
        self._sequences = sequences
        self._catalogue = catalogue

    @answered
    async def ServerLive(self, _request: wire.ServerLiveRequest) -> wire.ServerLiveResponse:
        """Whoever answers lives."""
        return wire.ServerLiveResponse(live=True)

    @answered
    async def ServerReady(self, _request: wire.ServerReadyRequest) -> wire.ServerReadyResponse:
        """Whether new sequences are taken."""
        return wire.ServerReadyResponse(ready=self._catalogue.ready)

    @answered
    async def ModelReady(self, request: wire.ModelReadyRequest) -> wire.ModelReadyResponse:
        """Whether a version can be asked; of one that is not there, that it is not ready."""
        try:
            self._models.find(request.name, request.version)
        except NotFound:
            return wire.ModelReadyResponse(ready=False)
        return wire.ModelReadyResponse(ready=self._catalogue.ready)

    @answered
    async def ServerMetadata(
        self, _request: wire.ServerMetadataRequest
    ) -> wire.ServerMetadataResponse:
        """Name, version and extensions."""
        return wire.ServerMetadataResponse(
            name="statewise", version=_version(), extensions=_EXTENSIONS
        )

    @answered
    async def ModelMetadata(self, request: wire.ModelMetadataRequest) -> wire.ModelMetadataResponse:
        """Tensors of a version."""
        model = self._models.find(request.name, request.version)
        return _metadata(model, self._models.versions(model.name))

    @answered
    async def ModelConfig(self, request: wire.ModelConfigRequest) -> wire.ModelConfigResponse:
        """The configuration of a version, every choice filled in."""
        model = self._models.find(request.name, request.version)
        return wire.ModelConfigResponse(config=describe(model))

    @answered
    async def ModelStatistics(
        self, request: wire.ModelStatisticsRequest
    ) -> wire.ModelStatisticsResponse:
        """What a version has done; without a version all of a model, without a name all."""
        if not request.name:
            models = list(self._models)
        elif request.version:
            models = [self._models.find(request.name, request.version)]
        else:
            models = self._models.versions(self._models.find(request.name).name)
        return wire.ModelStatisticsResponse(model_stats=map(_statistics, models))

    @answered
    async def RepositoryIndex(
        self, request: wire.RepositoryIndexRequest
    ) -> wire.RepositoryIndexResponse:
        """Every version that was found, and how it fares."""
        return wire.RepositoryIndexResponse(
            models=[
                wire.RepositoryIndexResponse.ModelIndex(
                    name=one.name, version=one.version, state=one.state, reason=one.reason
                )
                for one in self._catalogue.index()
                if one.state == "READY" or not request.ready
            ]
        )

    @answered
    async def RepositoryModelLoad(
        self, request: wire.RepositoryModelLoadRequest
    ) -> wire.RepositoryModelLoadResponse:
        """Loads what is new or changed of a model."""
        await self._catalogue.load(request.model_name)
        return wire.RepositoryModelLoadResponse()

    @answered
    async def RepositoryModelUnload(
        self, request: wire.RepositoryModelUnloadRequest
    ) -> wire.RepositoryModelUnloadResponse:
        """Opens nothing with a model any more; open sequences have their time to end."""
        self._catalogue.unload(request.model_name)
        return wire.RepositoryModelUnloadResponse()

    @answered
    async def ModelInfer(self, request: wire.ModelInferRequest) -> wire.ModelInferResponse:
        """One request, one answer."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def done(outcome: Answer | ServiceError) -> None:
            if future.done():
                return
            if isinstance(outcome, ServiceError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        self._sequences.infer(request_of(request), done)
        return response_of(request, await future)

    async def ModelStreamInfer(  # type: ignore[override]
        self, _requests: AsyncIterator[wire.ModelInferRequest], context: _Context
    ) -> None:
        """Requests and answers, until the caller half-closes and all is answered."""
        async with errors_as_status(context):
            with self._doorway.call():
                await self._serve(context)

    async def _serve(self, context: _Context) -> None:
        outbox = _Outbox()
        reader = asyncio.create_task(self._read(context, outbox))
        try:
            while True:
                for reply in await outbox.take():
                    await context.write(reply)
                if outbox.finished:
                    break
            # What went wrong in the reader ends the call.
            await reader
        finally:
            reader.cancel()

    async def _read(self, context: _Context, outbox: "_Outbox") -> None:
        try:
            while True:
                message: Any = await context.read()
                if message is grpc.aio.EOF:
                    return
                self._begin(message, outbox)
                if outbox.pending >= _MOST_PENDING:
                    await outbox.room()
                if self._doorway.shut:
                    await self._doorway.wait()
        finally:
            outbox.close()

    def _begin(self, message: wire.ModelInferRequest, outbox: "_Outbox") -> None:
        outbox.pending += 1

        def done(outcome: Answer | ServiceError) -> None:
            outbox.put(stream_response(message, outcome))

        try:
            self._sequences.infer(request_of(message), done)
        except ServiceError as error:
            done(error)
        except Exception:
            # It ends the call, which would wait for this answer otherwise.
            outbox.pending -= 1
            raise


class _Outbox:
    """Answers of one stream on their way out.

    Attributes:
        pending: requests that were read and not answered.
    """

    def __init__(self) -> None:
        self.pending = 0
        self._replies: deque[wire.ModelStreamInferResponse] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._roomy: asyncio.Future[None] | None = None
        self._closed = False
        self._loop = asyncio.get_running_loop()

    @property
    def finished(self) -> bool:
        """Whether nothing is left, and nothing comes any more."""
        return self._closed and self.pending <= 0 and not self._replies

    def put(self, reply: wire.ModelStreamInferResponse) -> None:
        """Queues an answer."""
        self.pending -= 1
        self._replies.append(reply)
        self._wake()
        if self._roomy is not None and not self._roomy.done():
            self._roomy.set_result(None)

    def close(self) -> None:
        """No further request will come."""
        self._closed = True
        self._wake()

    async def room(self) -> None:
        """Waits until fewer requests are under way."""
        while self.pending >= _MOST_PENDING:
            self._roomy = self._loop.create_future()
            await self._roomy

    async def take(self) -> list[wire.ModelStreamInferResponse]:
        """The answers so far, at least one unless it is finished."""
        while not self._replies and not self.finished:
            self._waiter = self._loop.create_future()
            await self._waiter
        replies = list(self._replies)
        self._replies.clear()
        return replies

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _version() -> str:
    try:
        return version("statewise")
    except PackageNotFoundError:
        return "unknown"


def _metadata(model: ServedModel, versions: list[ServedModel]) -> wire.ModelMetadataResponse:
    response = wire.ModelMetadataResponse(
        name=model.name,
        versions=[str(one.version) for one in versions],
        platform="onnxruntime_onnx",
    )
    for side, tensors in (
        (response.inputs, model.signature.inputs),
        (response.outputs, model.signature.outputs),
    ):
        for tensor in tensors:
            side.add(
                name=tensor.name,
                datatype=wire_name(tensor.dtype),
                shape=metadata_shape(model, tensor),
            )
    return response


def _statistics(model: ServedModel) -> wire.ModelStatistics:
    sums = model.batcher.statistics
    steps = sums.steps
    whole = steps.input_ns + steps.infer_ns + steps.output_ns + sums.queue_ns
    return wire.ModelStatistics(
        name=model.name,
        version=str(model.version),
        last_inference=sums.last_ms,
        inference_count=steps.count,
        execution_count=sums.calls,
        inference_stats=wire.InferStatistics(
            success=wire.StatisticDuration(count=steps.count, ns=whole),
            fail=wire.StatisticDuration(count=sums.failed, ns=sums.failed_ns),
            queue=wire.StatisticDuration(count=steps.count, ns=sums.queue_ns),
            **durations(steps),
        ),
        batch_stats=[
            wire.InferBatchStatistics(batch_size=rows, **durations(part))
            for rows, part in sorted(sums.by_rows.items())
        ],
    )
