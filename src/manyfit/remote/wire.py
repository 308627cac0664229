"""The network protocol between driver and worker: encrypted frames of plain data.

::

    TLS 1.3: │ lengths of message and blob │ message (JSON) │ blob (bytes) │ the next frame ...

It doesn't use sockets: both ends pass it the data that arrive, and send the data that it returns. A
worker verifies its driver by the SHA-256 of the certificate made for the study; the driver verifies
a worker by the study's secret, which the worker sends first.

The encryption is Python's `ssl`, over buffers in memory, which take 17 KB a connection. The TLS of
asyncio takes 256 KB (`SSLProtocol.max_size`), also for strangers, of whom it tells nobody until
their handshake is done. An `ssl.SSLSocket` can't be written to by one thread while another one
reads (https://docs.openssl.org/master/man7/openssl-threads/).
"""

import hashlib
import json
import secrets
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from manyfit.errors import ManyfitError

_VERSION = 2
_HEAD = struct.Struct(">IQ")
_RECORD = 1 << 14  # bytes that TLS decrypts at a time, at most
_PIECE = 1 << 20  # bytes encrypted at a time; OpenSSL's buffers are limited to 1.6 GB
# The largest message and blob, in bytes. A worker sends a log at most.
_MOST_OF_A_STRANGER = 1 << 8, 0
_MOST_OF_A_WORKER = 1 << 24, 1 << 25
_MOST_OF_THE_DRIVER = 1 << 27, 1 << 34
_MOST_UNPROVED = 1 << 13  # bytes in all, encrypted, from an end that has yet to say the secret


class WireError(ManyfitError):
    """The other end isn't authentic, or its data aren't a frame: disconnect."""


class Frame(NamedTuple):
    """A message, and bytes that belong to it."""

    message: dict[str, Any]
    blob: bytes = b""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a worker needs to verify its driver, and to be admitted.

    Attributes:
        secret: A secret of the driver and its workers.
        fingerprint: The SHA-256 of the driver's certificate.
    """

    secret: bytes = field(repr=False)
    fingerprint: bytes


class Wire:
    """One end of a connection, which encrypts messages and decrypts data.

    Send `outgoing` after construction and after every `feed`, unless it is empty. Nothing may be
    packed before `trusted`. It is not thread-safe.

    Example:
        >>> from manyfit.remote.certificate import certified_context
        >>> context, fingerprint = certified_context()
        >>> driver, worker = DriverWire(context, b"secret"), WorkerWire(
        ...     Credentials(b"secret", fingerprint)
        ... )
        >>> while not (driver.trusted and worker.trusted):
        ...     unread = driver.feed(worker.outgoing()), worker.feed(driver.outgoing())
        >>> worker.feed(b"".join(driver.pack({"task": 7})))
        [Frame(message={'task': 7}, blob=b'')]
    """

    def __init__(self, context: ssl.SSLContext, most: tuple[int, int]) -> None:
        self.trusted = False
        self._most = most
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server_side = context.protocol == ssl.PROTOCOL_TLS_SERVER
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)
        self._is_encrypted = False
        self._buffer = bytearray()

    def outgoing(self) -> bytes:
        """Return handshake data to send now; mostly empty."""
        return self._outgoing.read()

    def pack(self, message: Mapping[str, Any], blob: bytes = b"") -> list[bytes]:
        """Return an encrypted frame in pieces, to send in order."""
        if not self.trusted:
            raise WireError("nothing may be sent to an end that has not proved who it is")
        return self._encrypt(message, blob)

    def feed(self, data: bytes) -> list[Frame]:
        """Decrypt data; returns the complete frames, once the other end is trusted.

        Raises:
            WireError: The other end isn't authentic, or the data are damaged or forged.
        """
        self._incoming.write(data)
        try:
            self._decrypt()
        except ssl.SSLWantReadError:
            pass  # the rest is on its way
        except ssl.SSLError as error:
            raise WireError(f"the other end breaks TLS ({error.reason or error})") from error
        frames = []
        while (frame := self._next()) is not None:
            if self.trusted:
                frames.append(frame)
            else:
                self._get_to_know(frame.message)
        return frames

    def _decrypt(self) -> None:
        if not self._is_encrypted:
            self._tls.do_handshake()
            self._is_encrypted = True
            self._begin()
        while self._incoming.pending or self._tls.pending():
            data = self._tls.read(_RECORD)
            if not data:
                raise WireError("the other end has ended TLS")
            self._buffer += data

    def _encrypt(self, message: Mapping[str, Any], blob: bytes = b"") -> list[bytes]:
        text = _json(message).encode("ascii")
        first = b"".join((_HEAD.pack(len(text), len(blob)), text, blob[:_PIECE]))
        rest = (blob[start : start + _PIECE] for start in range(_PIECE, len(blob), _PIECE))
        return [self._encrypted(first), *map(self._encrypted, rest)]

    def _encrypted(self, data: bytes) -> bytes:
        left = memoryview(data)
        while left:
            left = left[self._tls.write(left) :]
        return self._outgoing.read()

    def _next(self) -> Frame | None:
        if len(self._buffer) < _HEAD.size:
            return None
        n_text, n_blob = _HEAD.unpack_from(self._buffer)
        most = self._most if self.trusted else _MOST_OF_A_STRANGER
        if n_text > most[0] or n_blob > most[1]:
            raise WireError(f"a frame of {n_text} and {n_blob} bytes is larger than it may be")
        middle, end = _HEAD.size + n_text, _HEAD.size + n_text + n_blob
        if len(self._buffer) < end:
            return None
        text, blob = bytes(self._buffer[_HEAD.size : middle]), bytes(self._buffer[middle:end])
        del self._buffer[:end]
        return Frame(_parse(text), blob)

    def _begin(self) -> None:
        """Send the first encrypted message."""

    def _get_to_know(self, message: dict[str, Any]) -> None:
        """Trust the other end because of its first message, or refuse it."""
        raise NotImplementedError


class DriverWire(Wire):
    """The driver's end.

    Args:
        context: A context with the study's certificate.
        secret: The study's secret.
    """

    def __init__(self, context: ssl.SSLContext, secret: bytes) -> None:
        super().__init__(context, _MOST_OF_A_WORKER)
        self._secret = secret
        self._heard = 0

    @property
    def greeted(self) -> bool:
        """Whether the other end has begun TLS, and waits for the answer in `outgoing`."""
        return self._outgoing.pending > 0

    def feed(self, data: bytes) -> list[Frame]:
        self._heard += len(data)
        if not self.trusted and self._heard > _MOST_UNPROVED:
            raise WireError("the other end says too much before it proves who it is")
        return super().feed(data)

    def _get_to_know(self, message: dict[str, Any]) -> None:
        match message:
            case {"manyfit": int(), "secret": str(secret)} if secret.isascii():
                if not secrets.compare_digest(secret, self._secret.hex()):
                    raise WireError("the other end doesn't know this study's secret")
                self.trusted = True
                self._outgoing.write(b"".join(self._encrypt({"manyfit": _VERSION})))
            case _:
                raise WireError("the other end is no Manyfit")


class WorkerWire(Wire):
    """A worker's end, which sends the secret only to an end with the study's certificate.

    Args:
        credentials: The study's credentials.
    """

    def __init__(self, credentials: Credentials) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # its fingerprint is verified instead
        super().__init__(context, _MOST_OF_THE_DRIVER)
        self._credentials = credentials
        self.feed(b"")  # greets

    def _begin(self) -> None:
        certificate = self._tls.getpeercert(binary_form=True) or b""
        found = hashlib.sha256(certificate).digest()
        if not secrets.compare_digest(found, self._credentials.fingerprint):
            raise WireError("the other end doesn't have the certificate of this study's driver")
        said = {"manyfit": _VERSION, "secret": self._credentials.secret.hex()}
        self._outgoing.write(b"".join(self._encrypt(said)))

    def _get_to_know(self, message: dict[str, Any]) -> None:
        match message:
            case {"manyfit": int(version)}:
                if version != _VERSION:
                    raise WireError(f"the driver speaks version {version}, not {_VERSION}")
                self.trusted = True
            case _:
                raise WireError("the other end is no Manyfit")


# Made once: `json.dumps` would make an encoder for each call, which takes as long as its work.
_json = json.JSONEncoder(separators=(",", ":")).encode


def _parse(text: bytes) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError("a frame is not JSON") from error
    if not isinstance(message, dict):
        raise WireError("a frame is no JSON object")
    return message
