"""A mail server of the demo's own, which can go away, and refuses one address while told so."""

import asyncio
import email
from collections import Counter
from collections.abc import Collection
from typing import Final

from aiosmtpd.smtp import SMTP, Envelope, Session

LOOPBACK: Final = "127.0.0.1"


class Postbox:
    """Takes letters by SMTP on a free port of this machine, and counts them by message id."""

    def __init__(self) -> None:
        self.letters: Counter[str] = Counter()
        self.by_address: dict[str, list[str]] = {}
        self.refused: Collection[str] = ()
        self.refusals = 0
        self.port = 0
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Take letters from now on; the port stays the same when it is opened again."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: SMTP(self), LOOPBACK, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuse all connections until it is opened again."""
        if self._server is not None:
            self._server.close()
            self._server = None

    @property
    def sent(self) -> int:
        """How many different letters it has taken."""
        return len(self.letters)

    @property
    def is_open(self) -> bool:
        """Whether it takes letters."""
        return self._server is not None

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's names
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: object
    ) -> str:
        """Take or refuse an address, before the letter."""
        if address in self.refused:
            self.refusals += 1
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 known"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Count a letter."""
        content = envelope.content
        text = content.encode() if isinstance(content, str) else content or b""
        message_id = str(email.message_from_bytes(text)["Message-ID"])
        self.letters[message_id] += 1
        for address in envelope.rcpt_tos:
            self.by_address.setdefault(address, []).append(message_id)
        return "250 taken"
