"""What a worker on another machine receives once, before its first task."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from manyfit.worker.work import Limits


@dataclass(frozen=True, slots=True)
class SharedItem:
    """Shared data that the objective reads, and their route to a machine.

    Attributes:
        manifest: The description of the files; see `manyfit.data`.
        route: `"inline"`, `"broadcast"` or `"storage"`.
        url: Their location in storage.
        files: The files themselves, if inline.
    """

    manifest: Mapping[str, Any]
    route: str
    url: str | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """Everything that a worker needs of a study, including all secrets.

    Attributes:
        study: The study's name.
        token: The name of this call's folder on a machine; not a secret.
        work: The pickled work.
        code: The modules to send, packed by `manyfit.ship.bundle`; empty if there are none.
        limits: The resources that one trial may use.
        env: Environment variables of the objective's process.
        secrets: Further variables, whose values must not be written anywhere.
        shared: The shared data.
    """

    study: str
    token: str
    work: bytes
    code: bytes = b""
    limits: Limits = Limits()
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    shared: tuple[SharedItem, ...] = ()

    def packed(self) -> tuple[dict[str, Any], bytes]:
        """Return the setup as a message and a blob."""
        blobs = [self.work, self.code]
        shared = []
        for each in self.shared:
            sizes = {name: len(data) for name, data in each.files.items()}
            blobs += each.files.values()
            shared.append(
                {"manifest": each.manifest, "route": each.route, "url": each.url, "files": sizes}
            )
        message = {
            "study": self.study,
            "token": self.token,
            "sizes": [len(self.work), len(self.code)],
            "limits": asdict(self.limits),
            "env": dict(self.env),
            "secrets": dict(self.secrets),
            "shared": shared,
        }
        return message, b"".join(blobs)


def unpacked(message: Mapping[str, Any], blob: bytes) -> WorkerSetup:
    """Return the setup from a message and a blob of `WorkerSetup.packed`."""
    rest = memoryview(blob)

    def take(size: int) -> bytes:
        nonlocal rest
        taken, rest = bytes(rest[:size]), rest[size:]
        return taken

    work, code = (take(size) for size in message["sizes"])
    shared = tuple(
        SharedItem(**{**each, "files": {name: take(size) for name, size in each["files"].items()}})
        for each in message["shared"]
    )
    return WorkerSetup(
        message["study"],
        message["token"],
        work,
        code,
        Limits(**message["limits"]),
        message["env"],
        message["secrets"],
        shared,
    )
