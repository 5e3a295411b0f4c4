"""What has to hold where a stream goes on in another call, and what is told of it.

Owns the comparison of what two servers, or one at two times, say of the same stream.
"""

import logging
from dataclasses import replace

from statewise_client.errors import ProtocolError, StreamFailed
from statewise_client.protocol import StreamInfo

_log = logging.getLogger(__name__)


def went_on(before: StreamInfo, now: StreamInfo, lowest: int, following: int) -> StreamInfo:
    """What holds of a stream that goes on: how it began is as it was.

    Args:
        before: what was said of it.
        now: what is said of it in the new call.
        lowest: the lowest number of a chunk that can be sent again.
        following: the number of the next chunk that was never sent.

    Raises:
        StreamFailed: the server goes on with another model, or from where nothing is kept.
        ProtocolError: it expects a chunk that was never sent.
    """
    expected = now.expected_sequence
    if now.content_digest != before.content_digest:
        raise _failed(
            before,
            "MODEL_CHANGED",
            f"the server has other weights, {now.content_digest}, under the name {now.model!r}, "
            f"version {now.version}; {before.content_digest} was open",
        )
    if expected > following:
        raise ProtocolError(
            f"the server expects chunk {expected} of stream {before.stream_id!r}; "
            f"{following - 1} was the last that was sent"
        )
    if expected < lowest:
        raise _failed(
            before,
            "STATE_LOST",
            f"the server goes on with chunk {expected}; {lowest} is the oldest that is kept",
        )
    changed = now.fingerprint_changed or now.numeric_fingerprint != before.numeric_fingerprint
    told = replace(
        now,
        expected_sequence=before.expected_sequence,
        steps=before.steps,
        resumed=before.resumed,
        fingerprint_changed=before.fingerprint_changed or changed,
    )
    if not before.fingerprint_changed:
        warn(told)
    return told


def warn(info: StreamInfo) -> None:
    """Tells whoever listens to the log what a caller may not look for."""
    if info.fingerprint_changed:
        _log.warning(
            "stream %r goes on on another kind of processor: within tolerance, not to the same "
            "bits",
            info.stream_id,
        )


def _failed(info: StreamInfo, reason: str, message: str) -> StreamFailed:
    return StreamFailed(
        "FAILED_PRECONDITION",
        f"stream {info.stream_id!r} can't go on: {message}; open a new one",
        reason=reason,
    )
