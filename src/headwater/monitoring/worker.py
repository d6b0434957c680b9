"""What one worker tells of itself, from before its app opens until all of it is closed."""

from collections.abc import Iterator, Sequence

import msgspec

from headwater.clock import Clock
from headwater.monitoring.held import held_counts
from headwater.monitoring.lag import with_lag
from headwater.monitoring.pages import pages_of
from headwater.monitoring.reporting import Reporter
from headwater.monitoring.server import MonitoringServer
from headwater.monitoring.settings import Monitoring
from headwater.monitoring.stalls import StallWatch, Watched
from headwater.ports.log import Log
from headwater.subscriptions.status import HeldCounts, SubscriptionStatus
from headwater.subscriptions.subscriptions import Subscriptions


class WorkerMonitoring:
    """Watches the subscriptions of one app, and answers on its port if it has one."""

    def __init__(
        self,
        settings: Monitoring | None,
        *,
        app: str,
        log: Log,
        clock: Clock,
        stalled_seconds: float,
    ) -> None:
        """Without *settings* there is no port.

        Raises:
            MissingExtraError: there is to be a port, and prometheus_client is not installed.
        """
        self._log, self._clock, self._stalled_seconds = log, clock, stalled_seconds
        self._watch: StallWatch | None = None
        self._reporter: Reporter | None = None
        self._held: dict[str, HeldCounts] = {}
        self._server: MonitoringServer | None = None
        if settings is not None:
            pages = pages_of(self._look, app=app)
            self._server = MonitoringServer(pages, host=settings.host, port=settings.port)

    async def start(self) -> None:
        """Answer: the worker lives, and is not ready yet.

        Raises:
            ConfigurationError: the port is taken, or the host is none of this machine's.
        """
        if self._server is not None:
            await self._server.start()

    @property
    def address(self) -> tuple[str, int] | None:
        """The host and port that answer; None if there is none."""
        return self._server.address if self._server is not None else None

    def watch(self, subscriptions: Subscriptions) -> None:
        """Tell of *subscriptions* from now on."""

        def statuses() -> Iterator[SubscriptionStatus]:
            for status in subscriptions.status():
                held = subscriptions.held(status.name)
                if held is None:
                    # As it was stored when it was last looked at.
                    held = self._held.get(status.name, HeldCounts())
                yield msgspec.structs.replace(status, held=held)

        async def refresh() -> None:
            await subscriptions.look()
            for status in subscriptions.status():
                target = subscriptions.target_of(status.name)
                self._held[status.name] = await held_counts(target, status.name)

        self._watch = StallWatch(
            Watched(statuses, subscriptions.fronts, refresh),
            limit_seconds=self._stalled_seconds,
            clock=self._clock,
        )
        self._watch.start()
        self._reporter = Reporter(
            self._watch.look,
            target_of=subscriptions.target_of,
            worker_of=subscriptions.worker_of,
            clock=self._clock,
        )
        self._reporter.start()

    def statuses(self) -> tuple[SubscriptionStatus, ...]:
        """Return what is known right now."""
        return self._watch.look() if self._watch is not None else ()

    async def stop(self) -> None:
        """Watch no more, and let go of the port."""
        if self._reporter is not None:
            await self._reporter.stop()
        if self._watch is not None:
            await self._watch.stop()
        if self._server is not None:
            await self._server.stop()

    async def _look(self) -> Sequence[SubscriptionStatus] | None:
        if self._watch is None:
            return None
        return await with_lag(self._watch.look(), log=self._log, clock=self._clock)
