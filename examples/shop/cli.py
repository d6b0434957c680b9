"""The command line: reads purchases, runs them through the shop, checks what came of it."""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

from examples.shop.analytics.baskets import CountingSink
from examples.shop.app import make_shop
from examples.shop.chaos.run import Outcome, print_outcome, run_chaos
from examples.shop.checks import Findings, MailBooks, check
from examples.shop.intake.ids import order_id_of
from examples.shop.intake.importing import import_purchases
from examples.shop.intake.purchases import InputError, Purchase, Rejected, read_purchases
from examples.shop.intake.source import OpenInput
from examples.shop.intake.sums import Sums
from examples.shop.mail.service import CountingMail
from examples.shop.progress import Progress
from examples.shop.sales.projections import CustomerHistory
from examples.shop.sales.queries import CountOrders, ListCustomerHistories
from headwater import App, RefusedError
from headwater.errors import ConfigurationError, HeadwaterError

CDNOW: Final = Path(__file__).parent / "data" / "cdnow.csv"
ORDERS: Final = 5000
CHAOS_ORDERS: Final = 1000
SETTLE_SECONDS: Final = 600.0
TOP_CUSTOMERS: Final = 5

FAILED, UNUSABLE, INTERRUPTED = 1, 2, 130


class TooManyOrdersError(Exception):
    """The storage holds more than this run is asked for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 if every invariant holds."""
    options = _parser().parse_args(arguments)
    try:
        with options.input.open("rb") as file, _storage(options.storage) as storage:
            run = _Run(options, file, storage)
            return asyncio.run(run.run_chaos() if options.chaos else run.run())
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return INTERRUPTED
    except (InputError, RefusedError, TooManyOrdersError, ConfigurationError, OSError) as error:
        print(f"shop: {error}", file=sys.stderr)
        return UNUSABLE
    except HeadwaterError as error:
        print(f"shop: {type(error).__name__}: {error}", file=sys.stderr)
        return FAILED


class _Run:
    """One run, from the first line of the input to the report."""

    def __init__(self, options: argparse.Namespace, file: BinaryIO, storage: str) -> None:
        default = CHAOS_ORDERS if options.chaos else ORDERS
        self._orders: int | None = getattr(options, "orders", default)
        self._once: bool = options.once
        self._file, self._storage = file, storage
        self._mail, self._sink, self._sums = CountingMail(), CountingSink(), Sums()
        self._rejected = self._events_before = 0
        self._progress = Progress("Purchases", self._orders or 0)

    async def run(self) -> int:
        """Return the exit code."""
        async with make_shop(self._storage, email=self._mail, sink=self._sink) as app:
            books = MailBooks(app, self._mail)
            await self._begin(app, books)
            begun_at = time.perf_counter()
            await self._import(app)
            await self._settle(app)
            seconds = time.perf_counter() - begun_at
            findings = await check(app, self._sums, books)
            best = await app.send(ListCustomerHistories(TOP_CUSTOMERS))
        if self._once:
            self._print_json(findings, seconds)
        else:
            self._print_report(findings, seconds, best)
        return 0 if findings.ok else FAILED

    async def run_chaos(self) -> int:
        """Run with trouble, on a new storage; return the exit code."""
        purchases = list(islice(self._accepted(), self._orders))
        if not purchases:
            raise InputError("there is no purchase to make trouble with")
        begun_at = time.perf_counter()
        outcome = await run_chaos(
            purchases,
            self._storage,
            self._sums,
            say=self._say,
            step=self._progress.step,
            refused=self._refused,
        )
        seconds = time.perf_counter() - begun_at
        if self._once:
            self._print_json(outcome.findings, seconds, outcome)
        else:
            print_outcome(outcome)
        return 0 if outcome.ok else FAILED

    async def _begin(self, app: App, books: MailBooks) -> None:
        self._events_before = await app.settle(timeout=SETTLE_SECONDS)
        await books.open()
        held = await app.send(CountOrders())
        if self._orders is not None and held > self._orders:
            raise TooManyOrdersError(
                f"The storage holds {held:,} orders already, more than the {self._orders:,} "
                f"asked for. Raise --orders, or give a new storage."
            )
        if held:
            self._say(f"The storage holds {held:,} orders already; they are not placed again.")

    async def _import(self, app: App) -> None:
        purchases = self._sums.counted(islice(self._accepted(), self._orders))
        first = next(purchases, None)
        if first is not None:
            await app.send(OpenInput(order_id_of(first)))
            everything = _chained(first, purchases)
            await import_purchases(app, everything, done=self._progress.step, refused=self._refused)
        self._progress.finish()

    async def _settle(self, app: App) -> None:
        progress = Progress("Read models", 0)
        settling = asyncio.create_task(app.settle(timeout=SETTLE_SECONDS))
        while not (await asyncio.wait((settling,), timeout=0.1))[0]:
            status = app.status()
            head = max(each.head for each in status)
            progress.reach(min(each.position for each in status), head)
        head = await settling
        progress.reach(head, head)
        progress.finish()

    def _accepted(self) -> Iterator[Purchase]:
        for line in read_purchases(self._file):
            if isinstance(line, Rejected):
                self._rejected += 1
                self._say(f"line {line.line}: {line.reason}")
            else:
                yield line

    def _refused(self, purchase: Purchase, error: RefusedError) -> None:
        self._rejected += 1
        self._say(f"line {purchase.line}: {error}")

    def _say(self, text: str) -> None:
        self._progress.clear()
        print(text, file=sys.stderr, flush=True)

    def _print_json(
        self, findings: Findings, seconds: float, outcome: Outcome | None = None
    ) -> None:
        summary: dict[str, object] = {
            "orders": findings.orders,
            "events": findings.events,
            "revenue": f"{findings.revenue:.2f}",
            "customers": findings.customers,
            "rejected": self._rejected,
            "seconds": round(seconds, 3),
            "ok": findings.ok,
            "invariants": findings.invariants,
        }
        if outcome is not None:
            summary["ok"] = outcome.ok
            summary["chaos"] = outcome.summary()
        print(json.dumps(summary, indent=2))

    def _print_report(
        self, findings: Findings, seconds: float, best: list[CustomerHistory]
    ) -> None:
        sums, added = self._sums, findings.events - self._events_before
        print(
            f"\n{'':20}{'shop':>16}{'input':>16}\n"
            f"{'Orders':20}{findings.orders:>16,}{sums.orders:>16,}\n"
            f"{'Customers':20}{findings.customers:>16,}{len(sums.by_customer):>16,}\n"
            f"{'Revenue':20}{_money(findings.revenue):>16}{_money(sums.revenue):>16}\n"
            f"{'Lines rejected':20}{'':16}{self._rejected:>16,}\n\n"
            f"{findings.events:,} events in the log. This run added {added:,} in {seconds:.1f} s, "
            f"{added / seconds:,.0f} per second, from the\nfirst command until every subscription "
            f"had settled.\n\n"
            f"Who spent most:"
        )
        for history in best:
            print(
                f"  {history.customer_id:12}{history.orders:>5} orders{_money(history.spent):>16}"
            )
        print("\nWhat must hold:")
        for name, holds in findings.invariants.items():
            print(f"  {'yes' if holds else 'NO '}  {name.replace('_', ' ')}")


def _chained(first: Purchase, rest: Iterator[Purchase]) -> Iterator[Purchase]:
    yield first
    yield from rest


def _money(amount: Decimal) -> str:
    return f"${amount:,.2f}"


@contextmanager
def _new_storage() -> Generator[str]:
    with tempfile.TemporaryDirectory(prefix="headwater-shop-") as folder:
        yield f"sqlite:///{quote(folder)}/shop.db"


@contextmanager
def _kept_storage(url: str) -> Generator[str]:
    yield url


def _storage(url: str | None) -> AbstractContextManager[str]:
    return _new_storage() if url is None else _kept_storage(url)


def _orders(text: str) -> int | None:
    if text == "all":
        return None
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor 'all'")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="shop",
        description="Runs real purchases through a shop: commands, orders, the log, read models.",
        epilog="Exit code: 0 if every invariant holds, 1 if one does not, 2 if the input or an "
        "argument can't be used.",
    )
    parser.add_argument(
        "--orders",
        type=_orders,
        default=argparse.SUPPRESS,
        metavar="N",
        help=f"how many purchases to take from the start of the input, or 'all' ({ORDERS}; with "
        f"--chaos {CHAOS_ORDERS})",
    )
    parser.add_argument(
        "--once", action="store_true", help="print one JSON object and nothing else"
    )
    parser.add_argument(
        "--chaos",
        action="store_true",
        help="with a mail server that goes away, a customer whose letters are refused, and "
        "workers of which one is killed",
    )
    parser.add_argument(
        "--input",
        type=Path,
        default=CDNOW,
        metavar="FILE",
        help="CSV with the header customer_id,date,cds,dollars, or JSON Lines with these members "
        "(the CDNOW purchases)",
    )
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="such as sqlite:///shop.db; run again on the same one, it goes on where it was "
        "(a temporary file)",
    )
    return parser
