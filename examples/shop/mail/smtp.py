"""Mail over SMTP, with what comes with Python."""

import asyncio
import smtplib
from email.message import EmailMessage

from examples.shop.mail.service import AddressRefusedError, Confirmation

CONNECT_SECONDS_MAX = 10.0

PERMANENT = 500
"""The first of the reply codes that say no for good (RFC 5321, 4.2.1)."""


class SmtpMail:
    """An `EmailService` that hands each letter to one mail server."""

    def __init__(self, host: str, port: int, *, sender: str) -> None:
        self._host, self._port, self._sender = host, port, sender

    async def send(self, confirmation: Confirmation) -> None:
        """Return when the mail server has taken on *confirmation*; raises as `EmailService`."""
        # smtplib waits for its socket; in a thread that keeps nobody else waiting.
        await asyncio.to_thread(self._converse, self._letter(confirmation))

    def _letter(self, confirmation: Confirmation) -> EmailMessage:
        letter = EmailMessage()
        letter["From"], letter["To"] = self._sender, confirmation.to
        letter["Subject"] = f"Your order {confirmation.order_id}"
        letter["Message-ID"] = f"<{confirmation.message_id}@{self._sender.rpartition('@')[2]}>"
        letter.set_content(
            f"Thank you. We have confirmed your order of {confirmation.total} dollars.\n"
        )
        return letter

    def _converse(self, letter: EmailMessage) -> None:
        with smtplib.SMTP(self._host, self._port, timeout=CONNECT_SECONDS_MAX) as server:
            try:
                server.send_message(letter)
            except smtplib.SMTPRecipientsRefused as error:
                codes = [code for code, _ in error.recipients.values()]
                if all(code >= PERMANENT for code in codes):
                    raise AddressRefusedError(letter["To"]) from error
                raise
