"""Who calls, and what it may do.

Owns the table of callers: a token or a certificate in, an identity out. The file is read again when
it changes; while what is there can't be read, what was there before holds. Every token is compared
with every entry, in a time that tells nothing. Knows nothing of how a token travels.
"""

import hmac
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service.callers.quotas import Quota, Quotas
from service.callers.token_file import PERMISSIONS, Caller, hash_token, load_callers
from service.errors import Forbidden, SettingsError, Unauthenticated
from service.private import Look, look_at
from service.settings import Settings

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller that is known.

    Attributes:
        name: what its streams belong to; "" where nobody is asked who he is.
        permissions: "stream" opens and advances streams, "admin" loads models and imports states.
        quota: what it has of its limits; None where it has none.
    """

    name: str
    permissions: frozenset[str]
    quota: Quota | None = field(default=None, compare=False, repr=False)

    def may(self, *permissions: str) -> bool:
        """Whether it has any of these permissions."""
        return any(one in self.permissions for one in permissions)

    def require(self, *permissions: str) -> None:
        """Lets through who has any of these permissions.

        Raises:
            Forbidden: it has none of them.
        """
        if not self.may(*permissions):
            raise Forbidden(
                f"this takes the permission {' or '.join(permissions)}, which this caller has not",
                reason="PERMISSION_MISSING",
                permission=permissions[0],
            )

    def enter(self) -> None:
        """Counts a stream that opens.

        Raises:
            Exhausted: it has as many as it may.
        """
        if self.quota is not None:
            self.quota.enter()

    def leave(self) -> None:
        """Counts a stream that closed."""
        if self.quota is not None:
            self.quota.leave()

    def enter_call(self) -> None:
        """Counts a call for requests of any streams.

        Raises:
            Exhausted: it has as many as it may have streams.
        """
        if self.quota is not None:
            self.quota.enter_call()

    def leave_call(self) -> None:
        """Counts such a call that is over."""
        if self.quota is not None:
            self.quota.leave_call()

    def spend(self, steps: int) -> None:
        """Counts steps that it wants to take.

        Raises:
            RateExceeded: it takes too many a second; these are not counted.
        """
        if self.quota is not None and self.quota.rated:
            self.quota.take(steps)


# Where nothing is configured: whoever reaches the port, which is then on loopback.
EVERYBODY = Identity("", PERMISSIONS)


class Access:
    """All callers of this server."""

    def __init__(self, settings: Settings, quotas: Quotas) -> None:
        """Reads the file of callers, if there is one.

        Raises:
            SettingsError: it can't be used.
        """
        self._quotas = quotas
        self._path = settings.token_file
        self._certificates = settings.tls_client_ca is not None
        self._callers: list[tuple[Caller, Identity]] = []
        self._seen: Look | None = None
        if self._path is not None:
            self._seen = look_at(self._path)
            self._take(self._path)

    def identify(self, token: str | None, certificate: Sequence[str] = ()) -> Identity:
        """The caller that shows a token, or a certificate that was verified.

        Args:
            token: what it sent; None for nothing.
            certificate: names of its certificate, the common name first.

        Raises:
            Unauthenticated: it is nobody's; never says why.
        """
        if self._path is None and not self._certificates:
            return EVERYBODY
        if self._path is None:
            names = [name for name in certificate if name]
            found = self._stranger(names[0]) if names else None
        else:
            self._refresh(self._path)
            found = (
                self._by_token(token) if token is not None else self._by_certificate(certificate)
            )
        if found is None:
            raise Unauthenticated(
                "this server takes known callers only; send a valid token as `authorization: "
                "Bearer TOKEN`, or a certificate that it knows",
                reason="UNAUTHENTICATED",
            )
        return found

    def _stranger(self, name: str) -> Identity:
        """Whoever has a certificate of the authority's, where no file says more."""
        return Identity(name, frozenset({"stream"}), self._quotas.of(name))

    def _by_token(self, token: str) -> Identity | None:
        shown = hash_token(token)
        found = None
        for caller, identity in self._callers:
            # Without an early end: the time is the same whichever entry it is, or none.
            if hmac.compare_digest(shown, caller.token_hash):
                found = identity
        return found

    def _by_certificate(self, names: Sequence[str]) -> Identity | None:
        known = {caller.certificate: one for caller, one in self._callers if caller.certificate}
        return next((known[name] for name in names if name in known), None)

    def _refresh(self, path: Path) -> None:
        look = look_at(path)
        if look == self._seen:
            return
        self._seen = look
        try:
            self._take(path)
        except SettingsError as error:
            _log.warning("the callers stay as they were: %s", error.message)
        else:
            _log.info("token_file was read again: %d callers", len(self._callers))

    def _take(self, path: Path) -> None:
        callers = load_callers(path)
        if not self._certificates and not any(one.token_hash for one in callers):
            raise SettingsError(
                f"token_file is {path}: its callers all have a certificate alone, and nobody is "
                "asked for one; give --tls-client-ca, or a caller a token"
            )
        for caller in callers:
            self._quotas.limit(caller.name, caller.max_streams, caller.max_steps_per_second)
        self._callers = [
            (one, Identity(one.name, one.permissions, self._quotas.of(one.name))) for one in callers
        ]
