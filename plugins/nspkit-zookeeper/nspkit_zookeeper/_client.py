"""kazoo's client, as it is used here."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from kazoo.client import KazooClient
from kazoo.retry import KazooRetry
from kazoo.security import CREATOR_ALL_ACL

from nspkit.registry import Secret

if TYPE_CHECKING:
    from nspkit.registry import Settings
    from nspkit_zookeeper._handler import Handler


def client_of(settings: Settings, session_timeout: float, handler: Handler) -> Any:
    """Return a client that has not started.

    Nodes that a user makes are that user's alone; without a user they are anybody's.
    """
    credentials = None
    if settings.user is not None:
        credentials = [("digest", Secret(f"{settings.user}:{settings.password or ''}"))]
    # Anew at once, and never later than a second after the last try: leases are at stake.
    retry = KazooRetry(max_tries=-1, delay=0.05, max_delay=1.0, sleep_func=handler.sleep_func)
    return KazooClient(
        hosts=",".join(map(str, settings.endpoints)),
        timeout=session_timeout,
        handler=handler,
        auth_data=credentials,
        default_acl=None if credentials is None else CREATOR_ALL_ACL,
        connection_retry=retry,
        logger=_quiet_logger(),
    )


def _quiet_logger() -> logging.Logger:
    """Return the client's logger, which speaks only where an application has set logging up."""
    logger = logging.getLogger("nspkit_zookeeper.kazoo")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return logger
