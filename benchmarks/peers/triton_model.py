"""The model as Triton's Python backend runs it: one call for all sequences that it is handed.

Owns the states, by sequence. Triton copies this file into its model repository.
"""

import json
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """A model with an input and a state, both float32 [batch, width]."""

    def initialize(self, arguments: dict[str, str]) -> None:
        """Opens the session."""
        parameters = json.loads(arguments["model_config"])["parameters"]
        options = onnxruntime.SessionOptions()
        # The server has one core.
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            parameters["onnx"]["string_value"], options, providers=["CPUExecutionProvider"]
        )
        self._input, self._state = (node.name for node in self._session.get_inputs())
        self._initial = np.zeros(self._session.get_inputs()[1].shape[1], np.float32)
        self._states: dict[int, Any] = {}

    def execute(self, requests: list[Any]) -> list[Any]:
        """A step of each request's sequence."""
        rows, states, ids, ends = [], [], [], []
        for request in requests:
            read = {
                name: triton.get_input_tensor_by_name(request, name).as_numpy()
                for name in ("input", "START", "END", "CORRID")
            }
            number = int(read["CORRID"].reshape(-1)[0])
            fresh = read["START"].reshape(-1)[0]
            rows.append(read["input"])
            states.append(self._initial if fresh else self._states[number])
            ids.append(number)
            ends.append(read["END"].reshape(-1)[0])
        feed = {self._input: np.concatenate(rows), self._state: np.stack(states)}
        outputs, next_states = self._session.run(None, feed)
        for row, (number, end) in enumerate(zip(ids, ends, strict=True)):
            if end:
                self._states.pop(number, None)
            else:
                self._states[number] = next_states[row]
        return [
            triton.InferenceResponse([triton.Tensor("output", outputs[row : row + 1])])
            for row in range(len(requests))
        ]
