"""A program whose streams go on behind what its files hold: it may be killed at any moment.

python dying_client.py TARGET FOLDER STREAMS CHUNKS
"""

import asyncio
import sys
from pathlib import Path

from conversation import chunks_of
from statewise_client.aio import Client
from statewise_client.errors import StreamEnded

OUTPUT_BYTES = 3 * 4


async def follow(client: Client, folder: Path, seed: int, number: int) -> None:
    """Takes one stream on from where its file and the server's state stand."""
    chunks = chunks_of(seed, number)
    with (folder / f"{seed}.outputs").open("ab", buffering=0) as file:
        received = written = 0
        while received < number:
            size = len(chunks[received]) * OUTPUT_BYTES
            if written + size > file.tell():
                break
            received, written = received + 1, written + size
        # Half a chunk's outputs may have been written.
        file.truncate(written)
        try:
            async with client.open(
                "random", stream_id=f"stream-{seed}", resume=True, received=received
            ) as stream:
                sequence = stream.info.expected_sequence - stream.in_flight
                rest = chunks[stream.info.expected_sequence - 1 :]
                while stream.in_flight:
                    file.write((await stream.receive()).tobytes())
                    sequence += 1
                async for outputs in stream.run(rest):
                    # The server may have stored less than this file has.
                    if sequence > received:
                        file.write(outputs.tobytes())
                    sequence += 1
        except StreamEnded as ended:
            # Killed when all was done.
            if ended.reason != "STREAM_CLOSED":
                raise


async def main(target: str, folder: Path, streams: int, number: int) -> None:
    async with (
        Client(target, open_timeout=30, resume_timeout=240) as client,
        asyncio.TaskGroup() as group,
    ):
        for seed in range(streams):
            group.create_task(follow(client, folder, seed, number))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:])))
