"""The school on each storage."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from examples.courses.school import make_school
from headwater import App


@pytest.fixture(params=["memory", "sqlite"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/school.db"


@pytest.fixture
async def school(storage_url: str) -> AsyncIterator[App]:
    async with make_school(storage_url) as app:
        yield app
