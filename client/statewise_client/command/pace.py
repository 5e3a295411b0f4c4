"""The pace at which a recording is played: as fast as the server takes it, or as it was recorded.

Owns the clock of a recording.
"""

import time
from collections.abc import Callable

from statewise_client.errors import InputError
from statewise_client.protocol import StreamInfo


class Pace:
    """Keeps steps at their times."""

    def __init__(
        self,
        steps_per_second: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Starts with the first step.

        Args:
            steps_per_second: 0 never waits.
            clock: seconds.
            sleep: waits for seconds.
        """
        self._steps_per_second = steps_per_second
        self._clock = clock
        self._sleep = sleep
        self._start: float | None = None

    def wait_for(self, step: int) -> None:
        """Waits until a step is due; one that is late is due at once.

        Args:
            step: counted from 0.
        """
        if not self._steps_per_second:
            return
        now = self._clock()
        if self._start is None:
            self._start = now
        self._sleep(max(0.0, self._start + step / self._steps_per_second - now))


def pace_of(info: StreamInfo, *, realtime: bool) -> Pace:
    """The pace of a model's steps, or that of no waiting.

    Raises:
        InputError: the model's steps are not tied to time.
    """
    if realtime and not info.steps_per_second:
        raise InputError(
            f"--realtime: the steps of model {info.model!r} are not tied to time; leave it out"
        )
    return Pace(info.steps_per_second if realtime else 0.0)
