"""Which file systems can carry a database that several processes share."""

import re
from pathlib import Path
from typing import Final

from headwater.errors import UnsupportedFileSystemError

_OCTAL: Final = re.compile(r"\\([0-7]{3})")
MOUNTS: Final = Path("/proc/self/mounts")

# WAL needs memory that all processes on the file share, which these can't give, and their
# locks are known to be granted twice: https://www.sqlite.org/wal.html, "Disadvantages".
NETWORK: Final = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "davfs",
        "fuse.ceph",
        "fuse.glusterfs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "glusterfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "smb3",
        "smbfs",
    }
)


def check_file_system(path: Path, *, mounts: Path = MOUNTS) -> None:
    """Pass if *path* lies on a local file system, or if this system does not say.

    Raises:
        UnsupportedFileSystemError: it lies on one that is reached over a network.
    """
    kind = _kind_of(path.resolve(), mounts)
    if kind in NETWORK:
        raise UnsupportedFileSystemError(
            f"{path} lies on a file system of type {kind}, which is reached over a network: "
            f"SQLite can't keep a commit whole there. Use a local disk, or PostgreSQL.",
            where=str(path),
        )


def _kind_of(path: Path, mounts: Path) -> str | None:
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    best: tuple[int, str | None] = (-1, None)
    for line in lines:
        _, place, kind, *_ = line.split(" ")
        # A space in a name is written \\040.
        root = Path(_OCTAL.sub(lambda found: chr(int(found[1], 8)), place))
        # Of two mounts on one place the later one is seen.
        if path.is_relative_to(root) and len(root.parts) >= best[0]:
            best = len(root.parts), kind
    return best[1]
