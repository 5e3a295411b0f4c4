"""How the log is written: a line an event, for people or as JSON for programs.

Owns both forms. The standard library does it all; a form of its own took fewer lines than a package
would have taken in the list of those that have to be kept. Knows nothing of what is logged: fields
come with the event, as `extra`.
"""

import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

Format = Literal["console", "json"]
Level = Literal["debug", "info", "warning", "error"]
_CONSOLE = "%(asctime)s %(levelname)s %(message)s"
# What every record has; whatever else stands in one came with the event.
_OWN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the fields of the event."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{seconds}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        # What begins with an underscore is another library's note to itself, such as Ray's.
        line |= {
            name: value
            for name, value in vars(record).items()
            if name not in _OWN and not name.startswith("_")
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class Seldom(logging.Filter):
    """Lets what is said again and again through once in so many seconds."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Starts with nothing said."""
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it was not said of late."""
        now, text = self._clock(), record.getMessage()
        late = {one: at for one, at in list(self._said.items()) if now - at < self._seconds}
        said = text in late
        self._said = {text: now} | late
        return not said


def configure(form: Format = "console", level: Level = "info") -> None:
    """Sends the log to standard error, in place of where it went before."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(_CONSOLE))
    # What libraries say to their developers is no affair of an operator, and may hold anything.
    least = max(logging.INFO, logging.getLevelNamesMapping()[level.upper()])
    logging.basicConfig(level=least, handlers=[handler], force=True)
    logging.getLogger("service").setLevel(level.upper())
