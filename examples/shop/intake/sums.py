"""What the input itself adds up to: counted while reading, with nothing of the library."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from examples.shop.intake.purchases import Purchase


class Sums:
    """Sums of the purchases that have passed through `counted`."""

    def __init__(self) -> None:
        self.orders = 0
        self.cds = 0
        self.revenue = Decimal(0)
        self.by_customer: Counter[str] = Counter()
        self.by_day: defaultdict[date, Decimal] = defaultdict(Decimal)

    def counted(self, purchases: Iterator[Purchase]) -> Iterator[Purchase]:
        """Yield *purchases* unchanged."""
        for purchase in purchases:
            self.orders += 1
            self.cds += purchase.cds
            self.revenue += purchase.dollars
            self.by_customer[purchase.customer_id] += 1
            self.by_day[purchase.day] += purchase.dollars
            yield purchase
