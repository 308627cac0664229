"""Keep credentials out of everything that is written down: journal, logs, MLflow, messages.

It finds what has the shape of a credential, what is assigned to a secret-looking name, and whatever
the environment holds under such a name. It is a net, not a proof: a password in plain words passes.
"""

import functools
import itertools
import os
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

REDACTED = "[redacted]"
# An environment variable that names others, comma-separated, whose values are secret as well.
SECRET_NAMES = "MANYFIT_SECRETS"  # noqa: S105 - the name of a variable

_T = TypeVar("_T")

_SECRET_WORDS = frozenset(
    {"password", "passwd", "passphrase", "secret", "secrets", "credential", "credentials"}
    | {"apikey", "accesskey", "privatekey", "secretkey"}
)
_SECRET_PAIRS = frozenset({("api", "key"), ("access", "key"), ("private", "key")})
# Tokens of language models, which are no secret: pad_token, eos_token.
_PLAIN_TOKENS = frozenset(
    {"pad", "eos", "bos", "unk", "cls", "sep", "mask", "special", "start", "end", "stop", "next"}
)

_SHAPES = re.compile(
    r"""
    -----BEGIN[A-Z ]*PRIVATE\ KEY-----[^-]*(?:-----END[A-Z ]*PRIVATE\ KEY-----)?
    | (?<=://)[^\s/:@'"]*:[^\s/'"]+(?=@)
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b
    | \bgh[pousr]_[A-Za-z0-9]{20,} | \bgithub_pat_\w{20,} | \bglpat-[\w-]{16,}
    | \bxox[a-z]-[A-Za-z0-9-]{10,}
    | \bsk-[A-Za-z0-9_-]{16,}
    | \bhf_[A-Za-z0-9]{20,}
    | \bAIza[\w-]{35}
    | \bdapi[0-9a-f]{32}(?:-\d)?
    | \beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*
    | (?<=[Bb]earer\ )[\w.~+/=-]{8,}
    | (?<=[Bb]asic\ )[A-Za-z0-9+/]{12,}=*(?=['"\s]|$)
    """,
    re.VERBOSE,
)
# name = value, name: value and 'name': 'value', where the value is a literal, not a piece of code.
# Apart from each other, since what follows a plain name may be a secret's: "Error: password=...".
_NAME = re.compile(r"""(?<![\w.-])([\w.-]++)["']?\s*[=:]\s*""")
_VALUE = re.compile(
    r"""
      (?P<quote>["']) (?P<quoted>(?:(?!(?P=quote))[^\\\n]|\\.)+) (?P=quote)
    | (?P<bare>[^\s'"`,;&(){}\[\]<>]{4,}+) (?![(\[])
    """,
    re.VERBOSE,
)
# The patterns are slow, and most output has nothing for them: text with none of these, in lower
# case, is left alone.
_SHAPE_HINTS = (
    *("-----begin", "://", "akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    *("glpat-", "xox", "sk-", "hf_", "aiza", "dapi", "eyj", "bearer ", "basic "),
)
_NAME_HINTS = ("pass", "secret", "token", "credential", "api", "access", "private")
_LITERALS = frozenset({"None", "True", "False", "null", "true", "false"})


def redact(text: str, secrets: Iterable[str] | None = None) -> str:
    """Replace what looks like a credential by `[redacted]`; redacting twice changes nothing more.

    Args:
        text: Anything, of any length, cut anywhere.
        secrets: Values that are known to be secret; by default those in the environment now. Pass
            the result of `secret_values` where many texts are redacted in a row.

    Example:
        >>> redact("mlflow at https://ann:hunter2@example.com, api_key='abcd1234'")
        "mlflow at https://[redacted]@example.com, api_key='[redacted]'"
        >>> redact("max_tokens=512, n_tokens=1024")
        'max_tokens=512, n_tokens=1024'
    """
    for value in secret_values() if secrets is None else secrets:
        if value in text:
            text = text.replace(value, REDACTED)
    lowered = text.lower()
    if any(hint in lowered for hint in _SHAPE_HINTS):
        text = _SHAPES.sub(REDACTED, text)
    if any(hint in lowered for hint in _NAME_HINTS):
        text = _redact_assigned(text)
    return text


def redact_value(name: str, value: _T) -> _T | str:
    """Redact a named value, such as a param or a tag; only text is ever a credential.

    Example:
        >>> redact_value("api_key", "abc"), redact_value("max_tokens", 512)
        ('[redacted]', 512)
    """
    if not isinstance(value, str) or not value:
        return value
    return REDACTED if is_secret_name(name) else redact(value)


@functools.lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether something of this name holds a credential, going by the words of the name.

    Example:
        >>> [is_secret_name(name) for name in ("AWS_SECRET_ACCESS_KEY", "hfToken", "max_tokens")]
        [True, True, False]
    """
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    if not _SECRET_WORDS.isdisjoint(words):
        return True
    if not _SECRET_PAIRS.isdisjoint(itertools.pairwise(words)):
        return True
    return words[-1:] == ["token"] and _PLAIN_TOKENS.isdisjoint(words[-2:-1])


def secret_values(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return what an environment holds under secret names, longest first.

    That is from 8 characters up; from 4 where the environment itself names it in `SECRET_NAMES`.
    """
    named = environ.get(SECRET_NAMES, "").split(",")
    found = {
        value
        for name, value in environ.items()
        if (len(value) >= 8 and is_secret_name(name) and name != SECRET_NAMES)
        or (len(value) >= 4 and name in named)
    }
    return tuple(sorted(found, key=lambda value: (-len(value), value)))


def _redact_assigned(text: str) -> str:
    """Replace the values that stand after secret names."""
    parts, done, position = [], 0, 0
    while name := _NAME.search(text, position):
        position = name.end()
        value = _VALUE.match(text, position) if is_secret_name(name[1]) else None
        if value is None or not (value["quote"] or _may_be_secret(name[1], value["bare"])):
            continue
        quote = value["quote"] or ""
        parts += [text[done:position], f"{quote}{REDACTED}{quote}"]
        done = position = value.end()
    return "".join((*parts, text[done:]))


def _may_be_secret(name: str, bare: str) -> bool:
    """Whether an unquoted value is one: `token = tokens` is code, `token=a1b2c3d4` is not."""
    if bare in _LITERALS:
        return False
    if not name.lower().endswith("token"):
        return True
    return len(bare) >= 8 and any(c.isdigit() for c in bare) and any(c.isalpha() for c in bare)
