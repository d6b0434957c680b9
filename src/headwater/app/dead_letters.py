"""The dead letters of a running app, which knows the handlers too."""

from collections.abc import Callable, Mapping
from typing import Any

from headwater.app.dry_running import DryRun, dry_run
from headwater.app.wiring import Wiring
from headwater.operations.dead_letters.dead_letters import DeadLetters


class AppDeadLetters(DeadLetters):
    """What is held of an app's subscribers; corrections are checked against its events."""

    def __init__(self, wiring: Wiring, dry_wiring: Callable[[Mapping[Any, Any]], Wiring]) -> None:
        """Look after what *wiring* subscribes; *dry_wiring* makes it anew for dry runs."""

        def asked() -> None:
            for handled in wiring.subscribed.handled.values():
                handled.handling.asked()

        around = wiring.around
        super().__init__(around.storage, codec=wiring.codec, clock=around.clock, asked=asked)
        self._dry_wiring = dry_wiring

    async def dry_run(
        self,
        id: str,
        *,
        data: str | None = None,
        replacements: Mapping[Any, Any] | None = None,
    ) -> DryRun:
        """Return what the real handler makes of the event that *id* delivers; nothing is stored.

        With *data*, of that in the place of the stored payload. It is one attempt without the
        handler's policy, in a unit of work that is shown; a commit of its own (a separate send)
        is refused. *replacements* stand for dependencies that reach outside, by what handlers
        ask for.

        Raises:
            DeliveryNotHeldError: none of that id is held, or its event was erased.
            ConfigurationError: the handler counts as external, and nothing was replaced.
        """
        instead = dict(replacements or {})
        delivery = await self.held(id)
        return await dry_run(
            self._dry_wiring(instead), delivery, data=data, replaced=tuple(instead)
        )
