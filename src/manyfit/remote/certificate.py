"""The driver's certificate, made for one study; its workers verify its SHA-256."""

import datetime
import hashlib
import secrets
import ssl
import tempfile

from manyfit.errors import MissingExtraError

# The dates aren't checked: workers know the fingerprint, and clocks differ.
_FROM = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
_UNTIL = datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC)


def certified_context() -> tuple[ssl.SSLContext, bytes]:
    """Return a context for TLS 1.3 with a new certificate, and the certificate's fingerprint.

    Its key is briefly written to a file, encrypted, because OpenSSL reads it from a file.

    Raises:
        MissingExtraError: cryptography is not installed.
    """
    certificate, pem, password = _certificate()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # sessions are never resumed
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name, password=password)
    return context, hashlib.sha256(certificate).digest()


def _certificate() -> tuple[bytes, bytes, str]:
    """Return a new certificate (DER), the same with its encrypted key (PEM), and the password."""
    try:
        from cryptography import x509  # noqa: PLC0415
        from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    except ModuleNotFoundError as error:  # the extras of several executors include it
        rule = "a connection to workers is encrypted, for which cryptography is not installed"
        raise MissingExtraError(f"{rule}: pip install cryptography", name=error.name) from error

    key, password = ec.generate_private_key(ec.SECP256R1()), secrets.token_hex()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Manyfit")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password.encode()),
    )
    pem += certificate.public_bytes(serialization.Encoding.PEM)
    return certificate.public_bytes(serialization.Encoding.DER), pem, password
