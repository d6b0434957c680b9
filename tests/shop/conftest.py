"""The shop on each storage, with services that only count."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from examples.shop.analytics.baskets import CountingSink
from examples.shop.app import make_shop
from examples.shop.mail.service import CountingMail
from headwater import App


@pytest.fixture
def mailbox() -> CountingMail:
    return CountingMail()


@pytest.fixture
def sink() -> CountingSink:
    return CountingSink()


@pytest.fixture(params=["memory", "sqlite"])
async def shop(
    request: pytest.FixtureRequest, tmp_path: Path, mailbox: CountingMail, sink: CountingSink
) -> AsyncIterator[App]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/shop.db"
    async with make_shop(url, email=mailbox, sink=sink) as app:
        yield app
