"""A worker of the shop as a process of its own: ``python -m examples.shop.chaos.worker``.

It works the subscriptions, and says so in a line, until it is told to end (SIGTERM) or is killed.
"""

import argparse
import asyncio
import signal
from typing import Final

from examples.shop.analytics.baskets import CountingSink
from examples.shop.app import make_shop
from examples.shop.chaos.postbox import LOOPBACK
from examples.shop.mail.smtp import SmtpMail
from headwater import Workers

AT_WORK: Final = "at work"

WORKERS: Final = Workers(lease_seconds=2.0, renew_seconds=0.5)
"""Shorter than by default, so that a demo need not wait long for what a dead worker had."""


async def work(storage: str, port: int) -> None:
    """Work the shop's subscriptions on *storage*, with the mail server at *port*."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    mail = SmtpMail(LOOPBACK, port, sender="shop@cdnow.example")
    async with make_shop(storage, email=mail, sink=CountingSink(), workers=WORKERS):
        print(AT_WORK, flush=True)
        await ended.wait()


def main() -> None:
    """Run the worker that the arguments describe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storage", required=True)
    parser.add_argument("--port", type=int, required=True, help="of the mail server")
    options = parser.parse_args()
    asyncio.run(work(options.storage, options.port))


if __name__ == "__main__":
    main()
