"""The Open Inference Protocol, with Triton's extensions for streams, sequences and repositories.

Owns the calls; messages are converted in `inference_wire`, what they mean is behind the seam. On a
stream, requests of any sequences may be under way at once; answers leave as they come, those of one
sequence in their order. What is read while answers are being written begins together once they are,
in one batch: gRPC hands over one message in a round of the event loop, and a tick follows a round.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import grpc

from protos.inference import service_pb2 as wire
from protos.inference.service_pb2_grpc import GRPCInferenceServiceServicer
from service import tracing
from service.catalogue import Catalogue
from service.errors import NotFound, ServiceError
from service.inference.requests import Answer, Done
from service.inference.sequences import Sequences
from service.models.description import describe, metadata_shape
from service.models.served import Models, ServedModel
from service.rpc.access import caller
from service.rpc.doorway import Doorway
from service.rpc.inference_wire import durations, request_of, response_of, stream_response
from service.rpc.outbox import Outbox
from service.rpc.status import ErrorsAsStatus, answered
from service.rpc.unreadable import readable
from service.tensors import wire_name

_Context = grpc.aio.ServicerContext[Any, Any]
_EXTENSIONS = ("sequence", "model_repository", "model_configuration", "statistics")


class InferenceServicer(GRPCInferenceServiceServicer):
    """Serves inference.GRPCInferenceService."""

    def __init__(
        self,
        models: Models,
        sequences: Sequences,
        catalogue: Catalogue,
        doorway: Doorway,
        refused: Callable[[str], None],
    ) -> None:
        """Serves the models behind the seam, newcomers first where streams crowd.

        Args:
            models: by name and version.
            sequences: take the requests.
            catalogue: loads and unloads.
            doorway: where newcomers wait.
            refused: counts a request that can't be read, by reason.
        """
        self._doorway = doorway
        self._refused = refused
        self._models = models
        self._sequences = sequences
        self._catalogue = catalogue
        self._loop = asyncio.get_running_loop()

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
        """Every version that was found, and how it fares; why not, for those who may load it."""
        told = caller().may("admin")
        return wire.RepositoryIndexResponse(
            models=[
                wire.RepositoryIndexResponse.ModelIndex(
                    name=one.name,
                    version=one.version,
                    state=one.state,
                    reason=one.reason if told else "",
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
        tracing.annotate(model=request.model_name)
        future: asyncio.Future[Answer] = self._loop.create_future()

        def done(outcome: Answer | ServiceError) -> None:
            if future.done():
                return
            if isinstance(outcome, ServiceError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        self._infer(request, done)
        return response_of(request, await future)

    async def ModelStreamInfer(  # type: ignore[override]
        self, _requests: AsyncIterator[wire.ModelInferRequest], context: _Context
    ) -> None:
        """Requests and answers, until the caller half-closes and all is answered."""
        async with ErrorsAsStatus(context):
            with self._doorway.call():
                await self._serve(context)

    async def _serve(self, context: _Context) -> None:
        outbox = Outbox()
        reader = asyncio.create_task(self._read(context, outbox))
        try:
            while True:
                for reply in await outbox.take():
                    await context.write(reply)
                for message in await outbox.release():
                    self._begin(message, outbox)
                if outbox.finished:
                    break
            # What went wrong in the reader ends the call.
            await reader
        finally:
            reader.cancel()

    async def _read(self, context: _Context, outbox: Outbox) -> None:
        try:
            while True:
                message = readable(await context.read())
                if message is grpc.aio.EOF:
                    return
                outbox.pending += 1
                outbox.bytes += message.ByteSize()
                if outbox.writing:
                    outbox.held.append(message)
                else:
                    self._begin(message, outbox)
                if outbox.full:
                    await outbox.room()
                if self._doorway.shut:
                    await self._doorway.wait()
        finally:
            outbox.close()

    def _begin(self, message: wire.ModelInferRequest, outbox: Outbox) -> None:
        def done(outcome: Answer | ServiceError) -> None:
            outbox.put(stream_response(message, outcome), message.ByteSize())

        try:
            self._infer(message, done)
        except Exception:
            # It ends the call, which would wait for this answer otherwise.
            outbox.pending -= 1
            raise

    def _infer(self, message: wire.ModelInferRequest, done: Done) -> None:
        try:
            request = request_of(message, caller())
        except ServiceError as error:
            self._refused(error.reason)
            done(error)
        else:
            self._sequences.infer(request, done)


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
