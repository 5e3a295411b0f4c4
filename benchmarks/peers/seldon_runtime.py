"""The model as an MLServer runtime: a step a request, the states by sequence.

Owns the states. MLServer imports this file by its own name.
"""

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Recurrent(MLModel):  # type: ignore[misc]
    """A model with an input and a state, both float32 [batch, width]."""

    async def load(self) -> bool:
        """Opens the session."""
        options = onnxruntime.SessionOptions()
        # The server has one core.
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            self.settings.parameters.uri, options, providers=["CPUExecutionProvider"]
        )
        self._input, self._state = (node.name for node in self._session.get_inputs())
        self._initial = np.zeros((1, self._session.get_inputs()[1].shape[1]), np.float32)
        self._states: dict[Any, Any] = {}
        return True

    async def predict_stream(
        self, payloads: AsyncIterator[InferenceRequest]
    ) -> AsyncIterator[InferenceResponse]:
        """A step for every request."""
        async for payload in payloads:
            yield self._step(payload)

    def _step(self, payload: InferenceRequest) -> InferenceResponse:
        parameters = payload.parameters
        number = parameters.sequence_id
        fresh = getattr(parameters, "sequence_start", False)
        feed = {
            self._input: NumpyCodec.decode_input(payload.inputs[0]),
            self._state: self._initial if fresh else self._states[number],
        }
        output, state = self._session.run(None, feed)
        if getattr(parameters, "sequence_end", False):
            self._states.pop(number, None)
        else:
            self._states[number] = state
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("output", output)]
        )
