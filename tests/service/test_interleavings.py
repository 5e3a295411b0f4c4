"""Whatever happens to streams and servers, in whatever order: no slot twice, no state mixed up.

A seed fixes what happens, so that a failure can be seen again. Hypothesis's lists of events repeat
themselves more, and found less of what was broken on purpose.
"""

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from parties import NAMES
from world import ACTIONS, World


async def happen(seed, executor=None):
    chance = random.Random(seed)
    world = World(executor)
    for _ in range(chance.randint(30, 100)):
        caller = world.callers[chance.randrange(len(NAMES))]
        server = world.servers[chance.randrange(2)]
        world.act(chance.choice(ACTIONS), caller, server, size=chance.randint(1, 5))
        # Rounds of the event loop until the next event.
        for _ in range(chance.randint(0, 8)):
            await asyncio.sleep(0)
            world.check()
    await world.finish()


@pytest.mark.parametrize("seed", range(300))
def test_every_stream_has_the_outputs_that_it_has_alone(seed):
    asyncio.run(happen(seed))


@pytest.mark.parametrize("seed", range(1000, 1050))
def test_it_is_so_while_steps_are_computed_on_a_thread(seed):
    with ThreadPoolExecutor(1) as executor:
        asyncio.run(happen(seed, executor))
