"""A small domain with personal fields, and what its tests keep it in."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

from headwater import Aggregate, Event, Projection, ReadModel, Value, applies
from headwater.adapters.key_store.ledger_file import LedgerFile
from headwater.adapters.key_store.sqlite import SqliteKeyStore
from headwater.adapters.storage.sqlite import SqliteSettings, SqliteStorage
from headwater.clock import ManualClock
from headwater.event_store import EventStore
from headwater.ports.key_store import KeyStore
from headwater.serialization.personal import MasterKeys, Personal, PersonalData, Subject

MASTER = b"m" * 32
EMAIL = "ada.lovelace@example.org"
PHONE = "+44-20-7946-0815"


class Address(Value):
    street: str
    city: str


class CustomerRegistered(Event, context="crm"):
    customer_id: Annotated[str, Subject()]
    email: Annotated[str, Personal()]
    phone: Annotated[str | None, Personal()] = None
    newsletter: bool = False


class CustomerMoved(Event, context="crm"):
    customer_id: str
    address: Annotated[
        Address, Personal(subject="customer_id", erased=Address("(erased)", "(erased)"))
    ]


class CustomerCalled(Event, context="crm"):
    """Says nothing of a person."""

    customer_id: str
    minutes: int


class Customer(Aggregate[str], context="crm"):
    email: str = ""

    @classmethod
    def register(cls, id: str, email: str) -> "Customer":
        customer = cls(id)
        customer.record(CustomerRegistered(id, email))
        return customer

    def call(self, minutes: int) -> None:
        self.record(CustomerCalled(self.id, minutes))

    @applies
    def _registered(self, event: CustomerRegistered) -> None:
        self.email = event.email

    @applies
    def _called(self, event: CustomerCalled) -> None: ...


class CustomerCard(ReadModel, key="customer_id", indexed=("calls",)):
    customer_id: Annotated[str, Subject()]
    email: Annotated[str, Personal()]
    greeting: Annotated[str | None, Personal()] = None
    calls: int = 0


class CustomerCards(Projection[CustomerCard]):
    @applies
    def registered(self, event: CustomerRegistered, row: CustomerCard | None) -> CustomerCard:
        return CustomerCard(event.customer_id, event.email, f"Dear {event.email}")

    @applies
    def called(self, event: CustomerCalled, row: CustomerCard) -> CustomerCard:
        return CustomerCard(row.customer_id, row.email, row.greeting, row.calls + 1)


class Account(Aggregate[UUID], context="crm", stored="state"):
    owner: Annotated[str, Personal(subject="id")] = ""
    balance: int = 0

    @classmethod
    def open(cls, id: UUID, owner: str) -> "Account":
        account = cls(id)
        account.record(AccountOpened(id, owner))
        return account

    def deposit(self, amount: int) -> None:
        self.record(Deposited(self.id, amount))

    @applies
    def _opened(self, event: "AccountOpened") -> None:
        self.owner = event.owner

    @applies
    def _deposited(self, event: "Deposited") -> None:
        self.balance += event.amount


class AccountOpened(Event, context="crm"):
    account_id: UUID
    owner: Annotated[str, Personal(subject="account_id")]


class Deposited(Event, context="crm"):
    account_id: UUID
    amount: int


TYPES = (CustomerRegistered, CustomerMoved, CustomerCalled, AccountOpened, Deposited)


class Cellar:
    """The files of one test, and what is opened on them; each call is like a process of its own."""

    def __init__(self, place: Path) -> None:
        self.place, self.clock = place, ManualClock()

    @property
    def keys_file(self) -> Path:
        return self.place / "keys.db"

    @property
    def ledger(self) -> LedgerFile:
        return LedgerFile(self.place / "elsewhere.jsonl")

    def personal_data(
        self,
        *,
        keys: KeyStore | None = None,
        master: bytes = MASTER,
        others: tuple[bytes, ...] = (),
    ) -> PersonalData:
        return PersonalData(
            keys or SqliteKeyStore(self.keys_file),
            wrapper=MasterKeys(master, others=others),
            ledger=self.ledger,
            clock=self.clock,
        )

    def storage(self) -> SqliteStorage:
        return SqliteStorage(SqliteSettings(self.place / "log.db", durability="normal"))

    def store(self, personal_data: PersonalData | None = None) -> EventStore:
        return EventStore(
            self.storage(),
            types=TYPES,
            context="crm",
            personal_data=personal_data or self.personal_data(),
        )

    def raw(self) -> EventStore:
        """The log as those see it who have no keys."""
        return EventStore(self.storage(), context="crm")

    def bytes_of_storage(self) -> bytes:
        return b"".join(file.read_bytes() for file in self.place.glob("log.db*"))
