"""What a PostgreSQL storage can be told, from code and from a URL; and that it keeps secrets."""

import pickle
import ssl
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.adapters.storage.postgres.connections import connect
from headwater.app.storages import storage_of
from headwater.clock import SystemClock
from headwater.errors import ConfigurationError, InvalidNameError, MissingExtraError

PLAIN = PostgresSettings(hosts=(("db", 5432),), user="anna", database="shop")


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("postgresql://anna@db/shop", PLAIN),
        ("postgres://anna@db:5432/shop", PLAIN),
        ("postgresql://anna:secret@db/shop", replace(PLAIN, password="secret")),
        (
            "postgresql://an%40na:s%2Fe%3Ac%40ret@db/my%20shop",
            replace(PLAIN, user="an@na", password="s/e:c@ret", database="my shop"),
        ),
        (
            "postgresql://anna@one:1,two,[::1]:3/shop",
            replace(PLAIN, hosts=(("one", 1), ("two", 5432), ("::1", 3))),
        ),
        (
            "postgresql://anna@/shop?host=/var/run/postgresql",
            replace(PLAIN, hosts=(("/var/run/postgresql", 5432),)),
        ),
        (
            "postgresql://anna@db/shop?schema=sales&lock_seconds=2.5&wake_ups=poll&auto_migrate=1",
            replace(PLAIN, schema="sales", lock_seconds=2.5, wake_ups="poll", auto_migrate=True),
        ),
        (
            "postgresql://anna@db/shop?sslmode=verify-full&sslrootcert=/etc/ca.pem",
            replace(PLAIN, sslmode="verify-full", sslrootcert=Path("/etc/ca.pem")),
        ),
    ],
)
def test_a_url_names_the_server_and_the_settings(url: str, settings: PostgresSettings) -> None:
    assert PostgresSettings.from_url(url) == settings


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("shop.db", "is not a PostgreSQL URL"),
        ("sqlite:///shop.db", "is not a PostgreSQL URL"),
        ("postgresql://anna:s3cret@db:port/shop", "is not a PostgreSQL URL"),
        ("postgresql://anna:s3cret@db/shop/more", "is not a PostgreSQL URL"),
        ("postgresql://anna:s3/cret@db/shop", "is not a PostgreSQL URL"),
        ("postgresql://anna:s3cret@db", "names no database"),
        ("postgresql://db/shop", "names no user"),
        ("postgresql://anna:s3cret@/shop", "names no host"),
        ("postgresql://anna:s3cret@db/shop?pool_size=3", "'pool_size' is not a setting"),
        ("postgresql://anna:s3cret@db/shop?password=s3cret", "'password' is not a setting"),
        ("postgresql://anna:s3cret@db/shop?readers=1&readers=2", "'readers' stands there twice"),
        ("postgresql://anna:s3cret@db/shop?readers=many", "readers"),
        ("postgresql://anna:s3cret@db/shop?readers=0", "readers must be 1 … 256"),
        ("postgresql://anna:s3cret@db/shop?lock_seconds=0", "lock_seconds must be above 0"),
        ("postgresql://anna:s3cret@db/shop?sslmode=maybe", "sslmode"),
        ("postgresql://anna:s3cret@db/shop?wake_ups=never", "wake_ups"),
        ("postgresql://anna:s3cret@db/shop?pooled_by_pgbouncer=true", "passes no notifications"),
    ],
)
def test_a_wrong_url_is_refused_without_showing_its_password(url: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as refusal:
        PostgresSettings.from_url(url)

    assert "s3cret" not in str(refusal.value)
    assert "cret@" not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://anna:s3c?ret@db/shop",
        "postgresql://anna:s3c/ret@db/shop",
        "postgresql://anna:s3c%40ret%40db/shop",
        "postgresql://anna:s3cret",
        "postgresql://anna:s3c@ret:@db:port/shop",
        "postgresql://anna:1234567/shop",
        "postgresql://anna:123?ret@db/shop",
        "anna:s3cret@db/shop",
        "s3cret",
    ],
)
def test_nothing_of_what_may_be_a_password_is_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match="postgresql://user") as refusal:
        PostgresSettings.from_url(url)

    for part in ("s3c", "ret", "123"):
        assert part not in str(refusal.value)


@pytest.mark.parametrize("schema", ["", "Sales", "1a", "a-b", 'a"b', "pg_sales", "a" * 49])
def test_a_schema_that_cannot_be_named_is_refused(schema: str) -> None:
    with pytest.raises(InvalidNameError):
        replace(PLAIN, schema=schema)


def test_neither_repr_nor_place_show_a_password() -> None:
    settings = replace(
        PLAIN, password="s3cret", listen_url="postgresql://anna:s3cret@direct/shop?x=s3cret"
    )

    for shown in (repr(settings), str(settings), settings.where):
        assert "s3cret" not in shown
    assert settings.where == "postgresql://anna@db:5432/shop"
    assert replace(settings, schema="sales").where.endswith("/shop?schema=sales")


def test_the_password_can_be_given_beside_the_url() -> None:
    def token() -> str:
        return "fresh"

    assert PostgresSettings.from_url("postgresql://anna@db/shop", password=token).password is token


def test_who_listens_elsewhere_takes_from_its_url_what_it_names() -> None:
    settings = replace(
        PLAIN,
        password="a",
        pooled_by_pgbouncer=True,
        listen_url="postgresql://listener:b@direct:6432/",
    )

    listening = settings.listening()

    assert (listening.hosts, listening.user) == ((("direct", 6432),), "listener")
    assert (listening.database, listening.password) == ("shop", "b")
    assert not listening.pooled_by_pgbouncer
    assert PLAIN.listening() is PLAIN


@pytest.mark.parametrize("url", ["postgresql://anna@db/shop", "postgres://anna@db/shop"])
def test_an_app_finds_the_storage_by_its_url(url: str) -> None:
    storage = storage_of(url, clock=SystemClock())

    assert isinstance(storage, PostgresStorage)
    assert storage.settings == PLAIN


def test_without_the_driver_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys  # noqa: PLC0415 - the only test that takes modules away

    for name in [one for one in sys.modules if one.startswith("headwater.adapters.storage.postg")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncpg", None)

    with pytest.raises(MissingExtraError, match=r"headwater\[postgres\]"):
        storage_of("postgresql://anna@db/shop", clock=SystemClock())


async def test_a_password_is_asked_for_with_every_connection(postgres_url: str) -> None:
    asked: list[str] = []

    async def token() -> str:
        asked.append("token")
        return f"token {len(asked)}"

    settings = PostgresSettings.from_url(f"{postgres_url}?sslmode=disable", password=token)
    for _ in range(2):
        connection = await connect(settings)
        await connection.close()

    # This server asks for none, so the driver need not have asked either; it never keeps one.
    assert settings.password is token


@pytest.mark.parametrize("change", [{"sslmode": "require"}, {"ssl_context": True}], ids=str)
async def test_tls_is_insisted_on_where_it_is_asked_for(
    postgres_url: str, change: dict[str, Any]
) -> None:
    if "ssl_context" in change:
        change = {"ssl_context": ssl.create_default_context()}
    settings = replace(PostgresSettings.from_url(postgres_url), **change)

    # The tests' server has no certificate.
    with pytest.raises(Exception, match="SSL"):
        await connect(settings)


def test_settings_survive_pickling() -> None:
    settings = replace(PLAIN, password="secret")

    assert pickle.loads(pickle.dumps(settings)) == settings
