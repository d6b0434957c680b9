"""What a worker's own port can be told."""

from typing import Final

import msgspec

from headwater.errors import ConfigurationError

LOOPBACK: Final = "127.0.0.1"
PORT_MAX: Final = 65_535


class Monitoring(msgspec.Struct, frozen=True, kw_only=True):
    """A small port of the worker's own: ``/live``, ``/ready`` and ``/metrics``.

    `port`: 0 takes a free one; `App.monitoring_address` says which. `host`: only this machine,
    unless told otherwise: there is no password, and ``/ready`` names subscriptions and what is
    wrong with them. ``0.0.0.0`` is every IPv4 address of the machine, ``::`` every IPv6 one.

    Raises:
        ConfigurationError: the port is outside 0 … 65535, or the host is empty.
    """

    port: int = 0
    host: str = LOOPBACK

    def __post_init__(self) -> None:
        if not 0 <= self.port <= PORT_MAX:
            raise ConfigurationError(f"port must be 0 … {PORT_MAX}, not {self.port}.")
        if not self.host:
            raise ConfigurationError(
                f"host must be an address to listen on: {LOOPBACK!r} for this machine only, "
                f"'0.0.0.0' for all IPv4 addresses."
            )
