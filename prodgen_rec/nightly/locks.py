"""One writer per target at a time.

On a local file system the operating system holds the lock (flock, by filelock) and lets go of it
when the process ends, however it ends. Elsewhere the lock is an object that says who holds it,
written only where there is none: exclusive on file systems whose `pipe_file(mode="create")` is
(S3, GCS, Azure with recent packages; memory), and a convention among well-meaning processes on
others. That of a process which died on this machine is taken over; one of another machine has
to be removed by hand.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from prodgen_rec.errors import LockHeldError
from prodgen_rec.nightly.stores import LocalStore, RemoteStore

LOCK = ".lock"
"""File that a local writer holds."""
OWNER = ".lock.json"
"""File that says who holds it; the lock itself where there is nothing better."""

logger = logging.getLogger(__name__)


class Owner(BaseModel):
    """A process that writes.

    Attributes
    ----------
    host, pid
        Where and which.
    started
        When the process began, in seconds since 1970: numbers of processes are used again.
    since
        When it took the lock, UTC.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    host: str
    pid: int
    started: float
    since: dt.datetime

    @classmethod
    def this(cls) -> Owner:
        """The process that asks, now."""
        return cls(
            host=socket.gethostname(),
            pid=os.getpid(),
            started=psutil.Process().create_time(),
            since=dt.datetime.now(dt.UTC).replace(microsecond=0),
        )

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since:%Y-%m-%d %H:%M:%S} UTC"

    def is_gone(self) -> bool:
        """Whether it ran on this machine and has ended; False where that cannot be known."""
        if self.host != socket.gethostname():
            return False
        try:
            # To the second: the clock that it is derived from is corrected now and then.
            return bool(abs(psutil.Process(self.pid).create_time() - self.started) > 1)
        except psutil.NoSuchProcess:
            return True


@contextmanager
def held(store: LocalStore | RemoteStore) -> Iterator[Owner | None]:
    """Hold the lock of a target; gives the owner who died with it, if one did.

    Raises
    ------
    LockHeldError
        Another process holds it; the message says which.
    """
    taken = _held_locally(store) if isinstance(store, LocalStore) else _held_remotely(store)
    with taken as predecessor:
        if predecessor:
            logger.warning("%s: recovered the lock of a dead %s", store.where(), predecessor)
        yield predecessor


@contextmanager
def _held_locally(store: LocalStore) -> Iterator[Owner | None]:
    store.make_folder(store.root)
    lock = FileLock(store.root / LOCK, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise LockHeldError(
            f"{store.where()} is being written by {_owner_in(store) or 'another process'}; wait "
            "until it is done, or end it: its lock ends with it"
        ) from None
    try:
        predecessor = _owner_in(store)
        store.write(OWNER, Owner.this().model_dump_json().encode())
        yield predecessor
    finally:
        with suppress(OSError):  # another error is on its way; the lock itself ends in any case
            store.remove(OWNER)
        lock.release()


@contextmanager
def _held_remotely(store: RemoteStore) -> Iterator[Owner | None]:
    me = Owner.this().model_dump_json().encode()
    predecessor = None
    if not store.create(OWNER, me):
        predecessor = _owner_in(store)
        if not predecessor or not predecessor.is_gone():
            raise LockHeldError(
                f"{store.where()} is being written by {predecessor or 'another process'}; wait "
                f"until it is done; if it has ended without removing {store.where(OWNER)}, "
                "remove that file"
            )
        store.write(OWNER, me)
    try:
        yield predecessor
    finally:
        store.remove(OWNER)


def _owner_in(store: LocalStore | RemoteStore) -> Owner | None:
    try:
        return Owner.model_validate_json(store.read_if_there(OWNER) or b"")
    except ValidationError:
        return None
