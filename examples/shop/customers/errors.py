"""Why the shop says no to something about a customer."""

from headwater import RefusedError


class EmailTakenError(RefusedError):
    """Somebody else has this address."""

    def __init__(self, email: str) -> None:
        self.email = email
        super().__init__(f"{email!r} belongs to another customer. Use a different address.")


class EmailInvalidError(RefusedError):
    """This is no e-mail address."""

    def __init__(self, email: str) -> None:
        self.email = email
        super().__init__(f"{email!r} is no e-mail address. Write it as name@example.org.")
