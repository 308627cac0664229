"""One archive of what travels, and the folder it becomes on a worker."""

import hashlib
import io
import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from manyfit.errors import ArgumentError
from manyfit.ship.listing import ShippingList

# The first moment that the format knows: an archive depends on contents and names alone.
_MOMENT = (1980, 1, 1, 0, 0, 0)
_DIGITS = 16  # of the checksum, in the folder's name


def bundle(listing: ShippingList) -> bytes:
    """Pack all that travels, as a checksum and a zip archive; the same files make the same bytes.

    The files are read now, not when they were listed. An empty listing makes an empty archive.

    Raises:
        OSError: A file has vanished or can't be read.

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
    """Put a zip archive's checksum before it, which readers of the format pass over."""
    return hashlib.sha256(archive).digest() + archive


def unbundle(data: bytes, folder: Path) -> Path:
    """Unpack a bundle and return the folder to put on `sys.path`; files keep their places in it.

    It is named for the contents, and complete or absent: several processes may unpack at once, and
    one that is killed leaves only a folder whose name starts with a dot. What is there already is
    returned as it is.

    Args:
        data: From `bundle`.
        folder: Where to unpack; is made when missing.

    Raises:
        ArgumentError: The data is damaged, or has a name in it that leads out of the folder.
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
        if not target.is_dir():  # else another process was quicker with the same
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
