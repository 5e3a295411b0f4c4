"""Requests of the Open Inference Protocol made from arrays, without a transport."""

import asyncio
from pathlib import Path

import numpy as np
from fakes import fake_kept

from service.artifacts.repository import Entry
from service.callers.access import EVERYBODY
from service.inference.handover import Handover
from service.inference.requests import Answer, Input, Request
from service.inference.sequences import Sequences
from service.metrics import Metrics
from service.models.loader import load_model
from service.models.served import Models
from service.settings import Settings
from service.streams.seam import Streams
from service.tensors import wire_name


def load(path: Path, max_streams: int = 64):
    entry = Entry(path.parent.parent.name, int(path.parent.name), path)
    return load_model(entry, Settings(path, max_streams=max_streams), Metrics())


class Calls:
    """Sequences over one model, with requests made from arrays."""

    def __init__(self, *models, store=None, **settings):
        self.models = Models(models)
        self.metrics = Metrics()
        options = Settings(Path("unused"), **settings)
        self.streams = Streams(self.models, options, self.metrics)
        handover = Handover(fake_kept(self.streams, store)) if store is not None else None
        self.sequences = Sequences(self.models, self.streams, options, self.metrics, handover)
        self.name = models[0].name

    def clock(self):
        """The seconds by which sequences are idle, in a list of one, for the test to move."""
        seconds = [1000.0]
        self.sequences._held.now = lambda: seconds[0]
        return seconds

    def infer(
        self,
        sequence=None,
        start=False,
        end=False,
        version="",
        outputs=(),
        caller=EVERYBODY,
        **arrays,
    ):
        future = asyncio.get_running_loop().create_future()
        inputs = [
            Input(name, wire_name(value.dtype), value.shape, value.tobytes())
            for name, value in arrays.items()
        ]
        request = Request(self.name, version, inputs, sequence, start, end, outputs, caller)
        self.sequences.infer(request, future.set_result)
        return future


def arrays(answer):
    assert isinstance(answer, Answer), answer
    return {
        tensor.name: np.frombuffer(data, tensor.dtype).reshape(shape)
        for tensor, shape, data in answer.outputs
    }


def row(*values):
    return np.array([values], np.float32)
