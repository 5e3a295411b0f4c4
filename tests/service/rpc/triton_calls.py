"""What a user of tritonclient does, in a process of its own: that package bears our message names.

Prints one JSON object of what came back.
"""

import asyncio
import json
import queue
import sys

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio

MODEL = "random"


def tensor(row):
    made = triton.InferInput("input", [1, len(row)], "FP32")
    made.set_data_from_numpy(np.array([row], np.float32))
    return [made]


def output(result):
    return result.as_numpy("output")[0].tolist()


def unary(client, rows):
    return [
        output(
            client.infer(
                MODEL,
                tensor(row),
                sequence_id=7,
                sequence_start=step == 0,
                sequence_end=step == len(rows) - 1,
            )
        )
        for step, row in enumerate(rows)
    ]


def streamed(client, several):
    """Every step of several sequences at once, over one stream; ids are numbers and texts."""
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    ids = [11, "eleven", 12]
    for step in range(len(several[0])):
        for number, rows in enumerate(several):
            client.async_stream_infer(
                MODEL,
                tensor(rows[step]),
                request_id=f"{number}.{step}",
                sequence_id=ids[number],
                sequence_start=step == 0,
                sequence_end=step == len(rows) - 1,
            )
    # A step of a sequence that is over: an error in-band, and the stream lives on.
    client.async_stream_infer(MODEL, tensor(several[0][0]), sequence_id=11)
    client.async_stream_infer(
        MODEL, tensor(several[0][0]), request_id="0.0", sequence_id=99, sequence_start=True
    )
    found = [[None] * len(rows) for rows in several]
    order, errors = [], []
    for _ in range(sum(map(len, several)) + 2):
        result, error = answers.get(timeout=30)
        if error is not None:
            errors.append([error.message(), found[0][-1] is not None])
            continue
        number, step = map(int, result.get_response().id.split("."))
        order.append([number, step])
        found[number][step] = output(result)
    client.stop_stream()
    return found, order, errors


async def asynchronous(target, rows):
    async with triton_aio.InferenceServerClient(target) as client:
        unaries = [
            output(await client.infer(MODEL, tensor(row), sequence_id="aio", sequence_start=not n))
            for n, row in enumerate(rows)
        ]

        async def requests():
            for step, row in enumerate(rows):
                yield {
                    "model_name": MODEL,
                    "inputs": tensor(row),
                    "sequence_id": 21,
                    "sequence_start": step == 0,
                    "sequence_end": step == len(rows) - 1,
                }

        streamed = []
        async for result, error in client.stream_infer(requests()):
            streamed.append(str(error) if error else output(result))
        return unaries, streamed


def refused(call):
    try:
        call()
    except triton.InferenceServerException as error:
        return [error.status(), error.message()]
    return None


def main():
    target, several = sys.argv[1], json.loads(sys.argv[2])
    client = triton.InferenceServerClient(target)
    found = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(MODEL),
        "other_ready": client.is_model_ready("none"),
        "server": client.get_server_metadata(as_json=True),
        "metadata": client.get_model_metadata(MODEL, as_json=True),
        "config": client.get_model_config(MODEL, as_json=True)["config"],
        "unary": unary(client, several[0]),
        "streamed": streamed(client, several),
        "aio": asyncio.run(asynchronous(target, several[0])),
        "unknown": refused(lambda: client.infer("none", tensor(several[0][0]), sequence_id=1)),
        "unstarted": refused(lambda: client.infer(MODEL, tensor(several[0][0]), sequence_id=1)),
        "without": refused(lambda: client.infer(MODEL, tensor(several[0][0]))),
        "statistics": client.get_inference_statistics(MODEL, as_json=True)["model_stats"][0],
        "index": client.get_model_repository_index(as_json=True)["models"],
    }
    client.load_model(MODEL)
    client.unload_model(MODEL)
    found["unloaded"] = refused(
        lambda: client.infer(MODEL, tensor(several[0][0]), sequence_id=1, sequence_start=True)
    )
    client.load_model(MODEL)
    found["loaded"] = output(
        client.infer(MODEL, tensor(several[0][0]), sequence_id=1, sequence_start=True)
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
