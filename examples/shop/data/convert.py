"""Turns the CDNOW data set as published (CDNOW_master.txt) into cdnow.csv.

python3 examples/shop/data/convert.py CDNOW_master.txt > examples/shop/data/cdnow.csv
"""

import csv
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

HEADER = ("customer_id", "date", "cds", "dollars")


def converted(lines: Iterable[str]) -> Iterator[tuple[str, str, str, str]]:
    """Yield a row for each purchase of *lines*, in their order, after the header line.

    The customer id and the dollars stay as they are written; the date becomes ISO 8601.

    Raises:
        ValueError: a line is not four fields, or its date is none.
    """
    purchases = iter(lines)
    next(purchases)
    for line in purchases:
        if not line.strip():
            continue
        customer_id, day, cds, dollars = line.split()
        # A day without a time of day: there is no zone to be aware of.
        date = datetime.strptime(day, "%Y%m%d").date()  # noqa: DTZ007
        yield customer_id, date.isoformat(), cds, dollars


def main(source: str) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(HEADER)
    with Path(source).open(encoding="ascii") as lines:
        writer.writerows(converted(lines))


if __name__ == "__main__":
    main(sys.argv[1])
