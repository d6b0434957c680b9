"""The dead letters of a running app, which knows the handlers too."""

from collections.abc import Callable, Mapping
from typing import Any

from headwater.app.dry_running import DryRun, dry_run
from headwater.app.wiring import Wiring
from headwater.errors import ConfigurationError
from headwater.operations.dead_letters.dead_letters import DeadLetters
from headwater.ports.storage import Storage


class AppDeadLetters(DeadLetters):
    """What is held of an app's subscribers and projections; corrections are checked against its
    events."""

    def __init__(
        self,
        wiring: Wiring,
        dry_wiring: Callable[[Mapping[Any, Any]], Wiring],
        *,
        storage: Storage | None = None,
    ) -> None:
        """Look after what *wiring* subscribes and holds in *storage*, by default that of the log.

        *dry_wiring* makes it anew for dry runs.
        """

        def asked() -> None:
            for handling in wiring.subscribed.handlings.values():
                handling.asked()

        around = wiring.around
        super().__init__(
            storage or around.storage,
            log=around.storage,
            codec=wiring.codec,
            clock=around.clock,
            asked=asked,
        )
        self._wiring, self._dry_wiring = wiring, dry_wiring

    def in_database(self, name: str) -> "AppDeadLetters":
        """Return what is held of the projections whose rows live in the database *name*.

        It lives there too, beside their checkpoints.

        Raises:
            ConfigurationError: the app has no such database.
        """
        databases = self._wiring.around.databases
        if name not in databases:
            known = ", ".join(databases) or "(none)"
            raise ConfigurationError(f"The app has no database {name!r}; there are: {known}.")
        return AppDeadLetters(self._wiring, self._dry_wiring, storage=databases[name])

    async def dry_run(
        self,
        id: str,
        *,
        data: str | None = None,
        replacements: Mapping[Any, Any] | None = None,
        stand_ins: bool = False,
    ) -> DryRun:
        """Return what the real handler makes of the event that *id* delivers; nothing is stored.

        With *data*, of that in the place of the stored payload. It is one attempt without the
        handler's policy, in a unit of work that is shown; a commit of its own (a separate send)
        is refused. *replacements* stand for dependencies that reach outside, by what handlers
        ask for; with *stand_ins* the app has something harmless for all of them already. What a
        projection's methods return is shown as rows.

        Raises:
            DeliveryNotHeldError: none of that id is held, or its event was erased.
            ConfigurationError: the handler counts as external, and nothing was replaced; or it is
                of a generation that other code computes.
        """
        instead = dict(replacements or {})
        delivery = await self.held(id)
        return await dry_run(
            self._dry_wiring(instead),
            delivery,
            data=data,
            external_too=stand_ins or bool(instead),
        )
