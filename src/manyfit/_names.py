"""Names of studies and of files; these are UTF-8, though under LC_ALL=C Python expects ASCII."""

import os
import secrets
import time


def new_name(kind: str) -> str:
    """Return a name that no other study has, with date and time: `study-20260131-235959-a1b2`."""
    return f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def to_file_name(name: str) -> str:
    """Return a name as this process must write it for the file to be called so.

    Example:
        >>> os.fsencode(to_file_name("größe")).decode()
        'größe'
    """
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return os.fsdecode(name.encode("utf-8", "surrogatepass"))
    return name


def from_file_name(name: str) -> str:
    """Return the text that a file's name, or an argument of a command, stands for.

    Example:
        >>> from_file_name(os.fsdecode("größe".encode()))
        'größe'
    """
    try:
        return os.fsencode(name).decode()
    except UnicodeError:  # it is text already, or was never meant to be
        return name
