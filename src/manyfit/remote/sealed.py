"""Values on their way through Spark, unreadable wherever Spark writes them to a disk.

PySpark puts every broadcast, and every function above 1 MB, into temporary files on the driver and
on each executor's machine. So what may hold a secret is sealed before it is broadcast, and only its
key, of a few bytes, is in the function, which then goes through memory alone.

The standard library has no cipher, and an executor that only runs Python has no `cryptography`. So
this is the one cipher here that is our own: a stream of SHAKE-256 with a key for each value, and
then HMAC-SHA-256 over what it hides. Connections use TLS (see `wire`).
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
    """Return a new key, and a value that nobody can read or change without it.

    The value is added to a stream that SHAKE-256 makes of the key, which is used this once, and
    the sum is signed with HMAC-SHA-256.

    Example:
        >>> key, sealed = seal({"token": "abc"})
        >>> b"abc" in sealed, unseal(key, sealed)
        (False, {'token': 'abc'})
    """
    key = secrets.token_bytes(_KEY)
    hidden = _crossed(pickle.dumps(value), key)
    return key, _proof(key, hidden) + hidden


def unseal(key: bytes, sealed: bytes) -> Any:
    """Return what `seal` was given.

    Raises:
        ExecutorError: The key is another value's, or the data are damaged.
    """
    proof, hidden = sealed[:_PROOF], sealed[_PROOF:]
    if not hmac.compare_digest(proof, _proof(key, hidden)):
        raise ExecutorError("what Spark brought from the driver is damaged")
    return pickle.loads(_crossed(hidden, key))  # noqa: S301 - the driver's own, as the proof shows


def opened(parcel: tuple[bytes, Any]) -> Any:
    """Return the value of a parcel: a key, with the sealed value or Spark's broadcast of it."""
    key, held = parcel
    return unseal(key, held if isinstance(held, bytes) else held.value)


def _crossed(data: bytes, key: bytes) -> bytes:
    stream = hashlib.shake_256(b"stream" + key).digest(len(data))
    return bytes(np.bitwise_xor(np.frombuffer(data, np.uint8), np.frombuffer(stream, np.uint8)))


def _proof(key: bytes, hidden: bytes) -> bytes:
    return hmac.digest(b"proof" + key, hidden, "sha256")
