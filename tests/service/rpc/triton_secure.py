"""A user of tritonclient with TLS, a certificate and a token, in a process of its own.

Prints one JSON object of what came back.
"""

import json
import sys

import numpy as np
import tritonclient.grpc as triton


def main():
    target, authority, key, chain, token = sys.argv[1:]
    files = {"root_certificates": authority, "private_key": key, "certificate_chain": chain}
    client = triton.InferenceServerClient(target, ssl=True, **files)
    headers = {"authorization": f"Bearer {token}"}
    tensor = triton.InferInput("input", [1, 5], "FP32")
    tensor.set_data_from_numpy(np.ones((1, 5), np.float32))
    sequence = {"sequence_id": 3, "sequence_start": True}
    result = client.infer("random", [tensor], headers=headers, **sequence)
    found = {
        "ready": client.is_server_ready(headers=headers),
        "shape": result.as_numpy("output").shape,
    }
    try:
        client.infer("random", [tensor], **sequence)
    except triton.InferenceServerException as error:
        found["without"] = error.status()
    try:
        client.load_model("random", headers=headers)
    except triton.InferenceServerException as error:
        found["load"] = error.status()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
