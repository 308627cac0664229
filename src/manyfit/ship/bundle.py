"""Packs the files to send into one archive, and unpacks it on a worker."""

import hashlib
import io
import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from manyfit.errors import ArgumentError
from manyfit.ship.listing import ShippingList

# The earliest time of the format, for all files: an archive depends on contents and names only.
_MOMENT = (1980, 1, 1, 0, 0, 0)
_DIGITS = 16  # digits of the checksum in the folder's name


def bundle(listing: ShippingList) -> bytes:
    """Pack the files to send as a checksum and a zip archive; equal files give equal bytes.

    The files are read now, not when they were listed. An empty listing gives an empty archive.

    Raises:
        OSError: A file is missing or can't be read.

    Example:
        >>> from manyfit.ship.listing import ShippingList
        >>> bundle(ShippingList()) == bundle(ShippingList())
        True
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, path in listing.travelling.items():
            member = zipfile.ZipInfo(name, _MOMENT)
            member.external_attr = 0o644 << 16
            archive.writestr(member, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return seal(buffer.getvalue())


def seal(archive: bytes) -> bytes:
    """Put a zip archive's checksum in front of it, which readers of the format skip."""
    return hashlib.sha256(archive).digest() + archive


def unbundle(data: bytes, folder: Path) -> Path:
    """Unpack a bundle and return the folder to put on `sys.path`.

    The folder is named by the contents, and is complete or absent: several processes may unpack at
    once, and one that is killed leaves only a folder whose name starts with a dot. An existing
    folder is returned unchanged.

    Args:
        data: The result of `bundle`.
        folder: The folder in which to unpack; it is made if missing.

    Raises:
        ArgumentError: The data are damaged, or contain a name that leads out of the folder.
        OSError: The folder can't be written.
    """
    archive = data[hashlib.sha256().digest_size :]
    if data != seal(archive):
        raise ArgumentError(
            f"the bundle of code is damaged: its {len(data)} bytes don't match their checksum. "
            "Send it again"
        )
    target = folder / hashlib.sha256(archive).hexdigest()[:_DIGITS]
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    unpacked = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder))
    try:
        _extract(archive, unpacked)
        unpacked.rename(target)
    except OSError:
        if not target.is_dir():  # another process may have unpacked the same bundle
            raise
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    return target


def _extract(archive: bytes, folder: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        for name in opened.namelist():
            _check_name(name)
        opened.extractall(folder)


def _check_name(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise ArgumentError(
            f"the bundle of code holds {name!r}: a name must stay within the bundle's folder"
        )
