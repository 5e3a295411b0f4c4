"""Why a server that is there takes no connection, read from what gRPC says of the attempt.

Owns the words of gRPC and its TLS library by which that is told from a server that is not there.
Knows nothing of calls.
"""

import re

# What the TLS library says of the server's certificate, and gRPC of the name in it.
_NOT_ACCEPTED = re.compile(r"CERTIFICATE_VERIFY_FAILED: ([^:]+)")
_OTHER_NAME = ("Hostname Verification Check failed", "is not in peer certificate")
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST")
_BAD_FILES = "Failed to create security handshaker"
_TLS = re.compile(r"TSI_|SSL_|certificate|handshak", re.IGNORECASE)
# TCP took the connection, and nothing was said over it.
_ENDED = re.compile(r"Socket closed|Connection reset|Broken pipe|End of TCP stream", re.IGNORECASE)


def refused_connection(target: str, cause: str) -> str | None:
    """What is wrong with a connection that a server ended, or that is ended here, in a line.

    Args:
        target: where the server is.
        cause: how the attempt ended, in gRPC's words.

    Returns:
        None where nothing tells that a server is there.
    """
    over_tls = f"the connection to {target} is refused over TLS"
    if found := _NOT_ACCEPTED.search(cause):
        return (
            f"{over_tls}: the server's certificate is not accepted: {found[1].strip()}; give the "
            "CA that signed it (--ca), or have it renewed"
        )
    if any(words in cause for words in _OTHER_NAME):
        return f"{over_tls}: its certificate is in another name; call the server by that one"
    if any(words in cause for words in _NO_TLS):
        return f"{over_tls}: the server there speaks without it; leave the CA (--ca) out"
    if _BAD_FILES in cause:
        return (
            f"{over_tls}: the files can't be used; look at the CA, the certificate and its key "
            "(--ca, --cert, --key)"
        )
    if _ENDED.search(cause):
        return (
            f"a server is at {target}, but it ended the connection: it wants TLS (--ca), or a "
            "client certificate that is valid and signed by its CA (--cert, --key)"
        )
    if _TLS.search(cause):
        return f"{over_tls}: {cause}; look at the certificates on both sides"
    return None
