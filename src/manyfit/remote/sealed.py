"""Encrypts values that are sent through Spark, because Spark writes them to disk.

PySpark writes every broadcast, and every function above 1 MB
(`spark.broadcast.UDFCompressionThreshold`), to temporary files on the driver and on each executor's
machine. Values that may contain a secret are therefore encrypted before they are broadcast. Only
the key, of a few bytes, is in the function, which is then sent through memory.

The standard library has no cipher, and an executor that only runs Python has no `cryptography`.
This is therefore the only cipher of our own: a stream of SHAKE-256 with a key for each value, and
HMAC-SHA-256 over the result. Connections use TLS (see `wire`).
"""

import hashlib
import hmac
import pickle
import secrets
from typing import Any

import numpy as np

from manyfit.errors import ExecutorError

_KEY = 32
_PROOF = 32


def seal(value: object) -> tuple[bytes, bytes]:
    """Encrypt a value; returns the new key, and the encrypted value.

    The pickled value is XORed with the SHAKE-256 stream of the key, which is used only once, and
    the result is signed with HMAC-SHA-256.

    Example:
        >>> key, sealed = seal({"token": "abc"})
        >>> b"abc" in sealed, unseal(key, sealed)
        (False, {'token': 'abc'})
    """
    key = secrets.token_bytes(_KEY)
    hidden = _crossed(pickle.dumps(value), key)
    return key, _proof(key, hidden) + hidden


def unseal(key: bytes, sealed: bytes) -> Any:
    """Return the value that `seal` encrypted.

    Raises:
        ExecutorError: The key is another value's, or the data are damaged.
    """
    proof, hidden = sealed[:_PROOF], sealed[_PROOF:]
    if not hmac.compare_digest(proof, _proof(key, hidden)):
        raise ExecutorError("what Spark brought from the driver is damaged")
    return pickle.loads(_crossed(hidden, key))  # noqa: S301 - the driver's own, as the proof shows


def opened(parcel: tuple[bytes, Any]) -> Any:
    """Return the value of a parcel: a key, and the sealed value or a broadcast of it."""
    key, held = parcel
    return unseal(key, held if isinstance(held, bytes) else held.value)


def _crossed(data: bytes, key: bytes) -> bytes:
    stream = hashlib.shake_256(b"stream" + key).digest(len(data))
    return bytes(np.bitwise_xor(np.frombuffer(data, np.uint8), np.frombuffer(stream, np.uint8)))


def _proof(key: bytes, hidden: bytes) -> bytes:
    return hmac.digest(b"proof" + key, hidden, "sha256")
