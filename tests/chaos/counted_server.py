"""`python -m service serve` with one addition: it says how many tasks it has when SIGUSR1 asks."""

import asyncio
import signal
import sys

from service import __main__
from service.rpc import server

_serve = server.serve


async def counted(settings: object) -> None:
    def tell() -> None:
        print(f"tasks: {len(asyncio.all_tasks())}", flush=True)

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, tell)
    await _serve(settings)


server.serve = counted
sys.exit(__main__.main())
