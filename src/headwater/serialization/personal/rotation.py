"""A change of the master key: all keys are wrapped anew, in pages, while everything goes on."""

from collections.abc import Callable, Collection
from typing import Final

from headwater.ports.key_store import KeyStore, KeyWrapper, WrappedKey

ROTATION_PAGE_KEYS: Final = 500
"""How many keys are wrapped anew at a time."""


async def rotated(
    store: KeyStore, wrapper: KeyWrapper, *, progress: Callable[[int], None] | None
) -> int:
    """Wrap the keys in *store* that another master key had wrapped; return how many."""
    rewrapped, after = 0, ""
    while page := await store.outdated(wrapper.master, after=after, limit=ROTATION_PAGE_KEYS):
        rewrapped += await store.rewrap(await _wrapped_anew(wrapper, page))
        after = page[-1].subject
        if progress is not None:
            progress(rewrapped)
    return rewrapped


async def _wrapped_anew(
    wrapper: KeyWrapper, page: Collection[WrappedKey]
) -> list[tuple[WrappedKey, WrappedKey]]:
    master = wrapper.master
    pairs: list[tuple[WrappedKey, WrappedKey]] = []
    for former in {key.master for key in page}:
        keys = {k.subject: k for k in page if k.master == former and k.wrapped is not None}
        secrets = await wrapper.unwrap(
            former, {subject: key.wrapped or b"" for subject, key in keys.items()}
        )
        wrapped = await wrapper.wrap(secrets)
        pairs += [(keys[s], WrappedKey(s, master, wrapped[s])) for s in keys]
    return pairs
