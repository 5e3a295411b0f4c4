"""The reasons that counters have from the start, at zero.

Owns which they are. Prometheus sees how much a counter has grown between two looks; one that is not
there before it counts has not grown, so that what it counts first would be in no rate and raise no
alert. A reason that is not listed here is counted all the same. Knows nothing of who counts.
"""

from collections.abc import Iterable

from prometheus_client import Counter

_MODELS = ("MODEL_NOT_FOUND", "MODEL_STATELESS", "MODEL_UNLOADED", "VERSION_NOT_FOUND")
_BLOBS = (
    "BLOB_CHECKSUM", "BLOB_CONTENT", "BLOB_NOT_STATE", "BLOB_SIGNATURE", "BLOB_UNSIGNED",
    "BLOB_VERSION", "STATE_DTYPE", "STATE_MODEL", "STATE_NAMES", "STATE_NOT_FINITE", "STATE_SHAPE",
)  # fmt: skip
_STORES = ("STORE_CONTENT", "STORE_FULL", "STORE_UNAVAILABLE")

# Streams that no caller has closed.
ENDED = (
    "drained", "expired", "failed", "fenced", "idle", "sequence_expired", "size", "unloaded",
)  # fmt: skip
CHUNKS = (
    "BYTE_LENGTH", "CALLER_RATE", "DTYPE", "FEATURE_COUNT", "MODEL_NOT_NATIVE", "NON_FINITE_INPUT",
    "SEQUENCE_GAP", "STEP_COUNT",
)  # fmt: skip
OPENS = (
    *_MODELS, *_BLOBS, *_STORES,
    "CALLER_STREAMS", "EPHEMERAL_RESUME", "EVICTED", "EXPIRED", "MODEL_NOT_SERVED", "OUTPUTS_LOST",
    "SERVER_STOPPING", "STATE_LOST", "STREAMS_EXHAUSTED", "STREAM_BUSY", "STREAM_CLOSED",
    "STREAM_EXISTS", "STREAM_ID_LENGTH", "STREAM_ID_RESERVED", "STREAM_KEPT", "STREAM_MODEL",
    "STREAM_NOT_FOUND",
)  # fmt: skip
# Of the Open Inference Protocol.
REQUESTS = (
    *_MODELS, *_BLOBS, *_STORES,
    "BATCH_SIZE", "BYTE_LENGTH", "CALLER_RATE", "CALLER_STREAMS", "DTYPE", "INPUT_MISSING",
    "INPUT_UNKNOWN", "INTERNAL", "MODEL_FAILED", "MODEL_NOT_FINITE", "NON_FINITE_INPUT",
    "OUTPUT_UNKNOWN", "PARAMETER_KIND", "RAW_CONTENTS", "SEQUENCE_EXPIRED", "SEQUENCE_ID_KIND",
    "SEQUENCE_ID_LENGTH", "SEQUENCE_ID_MISSING", "SEQUENCE_ID_RANGE", "SEQUENCE_NOT_STARTED",
    "SERVER_STOPPING", "SHAPE", "SHARED_MEMORY", "STREAMS_EXHAUSTED", "TICK_FAILED",
    "VERSION_CHANGED",
)  # fmt: skip
CALLS = (
    "CALLER_STREAMS", "MESSAGE", "MESSAGE_SIZE", "PERMISSION_MISSING", "REQUESTS_EXHAUSTED",
    "UNAUTHENTICATED",
)  # fmt: skip
STORE_FAILURES = (*_STORES, "UNEXPECTED")


def begin(counter: Counter, reasons: Iterable[str], *labels: str) -> Counter:
    """Has a counter tell zero for each reason, behind its other labels; gives it back."""
    for reason in reasons:
        counter.labels(*labels, reason)
    return counter
