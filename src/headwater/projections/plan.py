"""A projection as an app runs it: its code, and what each generation of its rows needs."""

from functools import cached_property
from typing import Generic, TypeVar

import msgspec

from headwater.domain.read_model import ReadModel
from headwater.operations.projections.building import Wanted
from headwater.operations.projections.generations import Generation
from headwater.ports.storage import Storage
from headwater.projections.consumer import ProjectionConsumer
from headwater.projections.fingerprint import fingerprint
from headwater.projections.folding import Folding
from headwater.serialization.codec import EventCodec
from headwater.subscriptions.subscription import Subscription

M = TypeVar("M", bound=ReadModel)


class ProjectionPlan(Generic[M]):
    """One projection of an app. `alone`: no other one computes rows of the same read model."""

    def __init__(
        self,
        folding: Folding[M],
        subscription: Subscription,
        *,
        target: Storage,
        codec: EventCodec,
        alone: bool = True,
    ) -> None:
        """Fold what *subscription*, that of the first generation, wants into rows in *target*."""
        self.folding, self.subscription = folding, subscription
        self.target, self.alone = target, alone
        self._codec = codec
        self.cls = type(folding.projection)

    @property
    def name(self) -> str:
        """The projection's name, which is that of its first subscription."""
        return self.subscription.name

    @cached_property
    def wanted(self) -> Wanted:
        """What this code computes."""
        return Wanted(
            self.name,
            self.folding.type.spec,
            self.cls.version,
            fingerprint(self.folding.folds, self._codec),
            self.subscription.partitions,
            self.cls.inline,
        )

    def computes(self, generation: Generation) -> bool:
        """Return whether this code is the one for *generation*."""
        return generation.version == self.cls.version

    def computes_inline(self, generation: Generation) -> bool:
        """Return whether this code can compute *generation* in units of work, though it may leave
        its own to a subscription."""
        folds = self.folding.folds
        return self.computes(generation) and not (
            folds.each or any(fold.recorded for fold in folds.folds)
        )

    async def prepare(self, generation: Generation) -> None:
        """Make room in the target for the rows of *generation*, as this code declares them.

        Raises:
            ConfigurationError: they don't fit what is stored.
        """
        rows = self.folding.type.in_collection(generation.collection)
        await self.target.prepare_collections([rows.spec])

    def subscription_of(self, generation: Generation) -> Subscription:
        """Return the subscription by which *generation* is computed."""
        return msgspec.structs.replace(self.subscription, name=generation.subscription)

    def consumer_of(self, generation: Generation) -> ProjectionConsumer[M]:
        """Return what computes *generation*."""
        return ProjectionConsumer(
            self.folding.projection,
            folds=self.folding.folds,
            rows=self.folding.type.in_collection(generation.collection),
            target=self.target,
        )
