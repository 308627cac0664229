"""What goes over a network connection between driver and worker: framed, signed, plain data.

::

    frame = lengths of message and blob, signature │ message (JSON) │ blob (bytes)

Knows no sockets: both ends hand it what arrives, and send what it gives them. Each end proves that
it knows the study's secret before the other listens to it. From then on every frame is signed with
a key of this one connection, by direction and count, so that none can be forged, repeated or left
out. Nothing is encrypted.
"""

import hmac
import json
import secrets
import struct
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from manyfit.errors import ManyfitError

Role: TypeAlias = Literal["driver", "worker"]

_VERSION = 1
_HEAD = struct.Struct(">IQ32s")
_UNSIGNED = bytes(32)
_MOST_OF_A_STRANGER = 256  # bytes of a message, before its sender has proved anything
# Bytes of a message and of a blob, by who sends them. What a worker says is small: at most, a log.
_MOST: dict[Role, tuple[int, int]] = {"driver": (1 << 27, 1 << 34), "worker": (1 << 24, 1 << 25)}
_OTHER: dict[Role, Role] = {"driver": "worker", "worker": "driver"}


class WireError(ManyfitError):
    """The other end doesn't know the secret, or what it sends is no frame: hang up."""


class Frame(NamedTuple):
    """A message, and bytes that go with it."""

    message: dict[str, Any]
    blob: bytes = b""


class Wire:
    """One end of a connection: packs what is to be sent, takes in what has arrived.

    `outgoing` has to be sent after construction and after every `feed`, as long as it isn't empty;
    nothing may be packed before `trusted`.

    Args:
        secret: Known to both ends, and to nobody else.
        role: Which end this is.

    Example:
        >>> driver, worker = Wire(b"secret", "driver"), Wire(b"secret", "worker")
        >>> for _ in range(2):  # they greet, then they prove that they know the secret
        ...     said = driver.outgoing(), worker.outgoing()
        ...     unread = worker.feed(said[0]), driver.feed(said[1])
        >>> driver.trusted, worker.trusted
        (True, True)
        >>> worker.feed(driver.pack({"task": 7}))
        [Frame(message={'task': 7}, blob=b'')]
    """

    def __init__(self, secret: bytes, role: Role) -> None:
        self.greeted = False  # whether the other end has said what one of its kind says first
        self.trusted = False
        self._secret = secret
        self._role = role
        self._nonce = secrets.token_hex(16)
        self._expected = ""
        self._keys: dict[Role, bytes] = {}
        self._counts: dict[Role, int] = {"driver": 0, "worker": 0}
        self._buffer = bytearray()
        self._outgoing = _frame(_json({"manyfit": _VERSION, "nonce": self._nonce}))

    def outgoing(self) -> bytes:
        """Return what has to be sent now to get to know each other; mostly nothing."""
        outgoing, self._outgoing = self._outgoing, b""
        return outgoing

    def pack(self, message: Mapping[str, Any], blob: bytes = b"") -> bytes:
        """Return a signed frame, to be sent in this order."""
        if not self.trusted:
            raise WireError("nothing may be sent to an end that has not proved who it is")
        text = _json(message)
        return _frame(text, blob, self._sign(self._role, text, blob))

    def feed(self, data: bytes) -> list[Frame]:
        """Take in what has arrived; returns the whole frames in it, once the other end is trusted.

        Raises:
            WireError: The other end is a stranger, or the data are damaged or forged.
        """
        self._buffer += data
        frames = []
        while (found := self._next()) is not None:
            text, blob, signature = found
            if not self.trusted:
                self._get_to_know(text)
                continue
            if not hmac.compare_digest(signature, self._sign(_OTHER[self._role], text, blob)):
                raise WireError("a frame's signature is wrong")
            frames.append(Frame(_parse(text), blob))
        return frames

    def _next(self) -> tuple[bytes, bytes, bytes] | None:
        if len(self._buffer) < _HEAD.size:
            return None
        n_text, n_blob, signature = _HEAD.unpack_from(self._buffer)
        most = _MOST[_OTHER[self._role]] if self.trusted else (_MOST_OF_A_STRANGER, 0)
        if n_text > most[0] or n_blob > most[1]:
            raise WireError(f"a frame of {n_text} and {n_blob} bytes is larger than it may be")
        middle, end = _HEAD.size + n_text, _HEAD.size + n_text + n_blob
        if len(self._buffer) < end:
            return None
        text, blob = bytes(self._buffer[_HEAD.size : middle]), bytes(self._buffer[middle:end])
        del self._buffer[:end]
        return text, blob, signature

    def _get_to_know(self, text: bytes) -> None:
        """Take in a greeting, answered by our proof; then the other's proof."""
        match _parse(text):
            case {"manyfit": version, "nonce": str(nonce)} if not self._keys and nonce.isascii():
                if version != _VERSION:
                    raise WireError(f"the other end speaks version {version}, not {_VERSION}")
                self.greeted = True
                nonces = (self._nonce, nonce) if self._role == "driver" else (nonce, self._nonce)
                for role in _OTHER:
                    self._keys[role] = self._derive(f"key of {role}", *nonces)
                proof = self._derive(f"proof of {self._role}", *nonces).hex()
                self._expected = self._derive(f"proof of {_OTHER[self._role]}", *nonces).hex()
                self._outgoing += _frame(_json({"proof": proof}))
            case {"proof": str(proof)} if self._keys and proof.isascii():
                if not hmac.compare_digest(proof.encode(), self._expected.encode()):
                    raise WireError("the other end doesn't know this study's secret")
                self.trusted = True
            case _:
                raise WireError("the other end is no Manyfit")

    def _derive(self, *words: str) -> bytes:
        return hmac.digest(self._secret, "\n".join(words).encode(), "sha256")

    def _sign(self, sender: Role, text: bytes, blob: bytes) -> bytes:
        count = self._counts[sender]
        self._counts[sender] = count + 1
        signature = hmac.new(self._keys[sender], struct.pack(">QQ", count, len(text)), "sha256")
        signature.update(text)
        signature.update(blob)
        return signature.digest()


def _frame(text: bytes, blob: bytes = b"", signature: bytes = _UNSIGNED) -> bytes:
    return b"".join((_HEAD.pack(len(text), len(blob), signature), text, blob))


def _json(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode("ascii")


def _parse(text: bytes) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError("a frame is not JSON") from error
    if not isinstance(message, dict):
        raise WireError("a frame is no JSON object")
    return message
