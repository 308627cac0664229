"""Keep credentials out of everything that is written down: journal, logs, MLflow, messages.

It finds what has the shape of a credential, what is assigned to a secret-looking name, and whatever
the environment holds under such a name. It is a net, not a proof: a password in plain words passes.
"""

import contextlib
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
    {"secret", "secrets", "credential", "credentials", "creds", "passcode", "pwd", "connstr"}
)
# Also at the end of longer words: PGPASSWORD, dbpwd, openaiapikey.
_SECRET_ENDS = (
    *("password", "passwd", "passphrase", "apikey", "accesskey", "accountkey", "privatekey"),
    *("secretkey", "sharedkey", "storagekey", "signingkey", "encryptionkey", "authkey"),
    *("dbpass", "userpass", "dbpwd", "authtoken", "accesstoken", "refreshtoken", "apitoken"),
    *("csrftoken", "sessiontoken", "clientsecret"),
)
_SECRET_KEYS = frozenset(
    {"access", "account", "aes", "api", "app", "auth", "consumer", "deploy", "encryption", "fernet"}
    | {"functions", "hmac", "jwt", "license", "master", "private", "shared", "signing", "ssh"}
    | {"storage", "subscription"}
)
_SECRET_PASSES = frozenset({"db", "database", "mail", "mysql", "pg", "redis", "smtp", "user"})
_SECRET_PAIRS = frozenset(
    {(word, "key") for word in _SECRET_KEYS}
    | {(word, "pass") for word in _SECRET_PASSES}
    | {("auth", "header"), ("connection", "string"), ("conn", "str"), ("webhook", "url")}
)
# Shell variables that hold folders.
_FOLDERS = frozenset({"PWD", "OLDPWD"})
# Tokens of language models, which are no secret: pad_token, eos_token.
_PLAIN_TOKENS = frozenset(
    {"pad", "eos", "bos", "unk", "cls", "sep", "mask", "special", "start", "end", "stop", "next"}
)

# A token, a key or a whole private key, by who gives it out.
_SHAPES = re.compile(
    r"""
    -----BEGIN[A-Z ]*PRIVATE\ KEY(?:\ BLOCK)?-----
        (?:(?:Proc-Type|DEK-Info|Comment|Version):[^\n]*\n|[A-Za-z0-9+/=\s\\])*+
        (?:-----END[A-Z ]*PRIVATE\ KEY(?:\ BLOCK)?-----)?
    | \b(?:AKIA|ASIA|ABIA)[A-Z0-9]{16}\b
    | \bgh[pousr]_[A-Za-z0-9]{20,} | \bgithub_pat_\w{20,} | \bgl(?:pat|dt|rt|ptt|soat)-[\w-]{16,}
    | \bxox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{10,} | \bxapp-[A-Za-z0-9-]{10,}
    | \bsk-[A-Za-z0-9_-]{16,}
    | \b(?:hf|gsk|npm|lin_api|dckr_pat|shp(?:at|ca|pa|ss)|dop_v1|whsec)_[A-Za-z0-9]{20,}
    | \b[sr]k_(?:live|test)_[A-Za-z0-9]{10,}
    | \b(?:nvapi|pypi|xai|pplx|tskey|GOCSPX|glsa|r8)[-_](?=[\w-]*\d)[\w-]{20,}
    | \bSG\.[\w-]{16,}\.[\w-]{16,} | \bhv[sb]\.[\w-]{20,} | \bya29\.[\w-]{20,}
    | \bAIza[\w-]{35}
    | \bda(?:pi|se)[0-9a-f]{32}(?:-\d)?
    | \beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*
    """,
    re.VERBOSE,
)
_SHAPE_HINTS = (
    *("-----begin", "akia", "asia", "abia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    *("glpat-", "gldt-", "glrt-", "glptt-", "glsoat-", "xox", "xapp-", "sk-", "hf_", "gsk_"),
    *("npm_", "lin_api_", "dckr_pat_", "shpat_", "shpca_", "shppa_", "shpss_", "dop_v1_", "whsec_"),
    *("sk_live_", "sk_test_", "rk_live_", "rk_test_", "nvapi", "pypi", "xai", "pplx", "tskey"),
    *("gocspx", "glsa", "r8_", "sg.", "hvs.", "hvb.", "ya29.", "aiza", "dapi", "dase", "eyj"),
)
# What stands in a certain place of a URL: user and password, which may have a slash in it; a token
# as the user (but containers of Azure's file systems stand there too); a signature; a web hook. The
# groups stay, so that a message still tells what it was about.
_IN_URLS = re.compile(
    r"""
      (?<=://)[^\s/:@'"\[]*:[^\s/'"]+(?=@)
    | (?<=://)[^\s/:@'"\[]*:(?!\d{1,5}[/?]|[/\\])[^\s'"]{1,300}(?=@)
    | (?<!abfs://)(?<!abfss://)(?<!wasb://)(?<!wasbs://)(?<=://)
        (?=[^\s/:@]*\d)(?=[^\s/:@]*[A-Za-z])[^\s/:@'"<>\[]{8,}(?=@)
    | (?P<signed>(?i:[?&;](?:sig|signature|x-(?:amz|goog)-signature|hmac)=))[^\s&'"<>\\]{6,}
    | (?P<keyed>(?i:[?&;](?:key|code|auth|hash)=))(?=[^\s&'"<>\\]*\d)[^\s&'"<>\\]{8,}
    | (?P<hook>(?i:://(?:
          hooks?\.[\w.-]+/ | [\w.-]+\.webhook\.office\.com/ | api\.telegram\.org/bot
        | [\w.-]+/(?:[\w./-]*/)?(?:(?:web)?hooks?|with/key)/ )))(?=[^\s'"<>\\]*\d)[^\s'"<>\\]{6,}
    """,
    re.VERBOSE,
)
# What stands in a certain header of HTTP, or is given to its clients.
_IN_HEADERS = re.compile(
    r"""
      (?P<known>(?i:\bauthorization(?:\\?["'])?\s*[:=,]\s*(?:\\?["'])?
        (?:bearer|basic|token|key|api-?key|negotiate|sharedkey|splunk|sso-key)[ ]+))
        [^\s'"\\]{6,}[^\n'"\\]*
    | (?P<other>(?i:\bauthorization(?:\\?["'])?\s*[:=,]\s*(?:\\?["'])?))
        (?=[^\s'"\\]*\d)[^\s'"\\]{8}[^\n'"\\]*
    | (?P<jar>(?i:\bcookie(?:\\?["'])?\s*[:=,]\s*(?:\\?["'])?))
        (?=[^\n'"\\]*=[^\s;'"\\]{6,})[\w.-]+=[^\n'"\\]*
    | (?P<pair>\bauth["']?\s*[:=]\s*[\[(]\s*["'][^"'\n]{0,100}["']\s*,\s*["'])[^"'\n]+
    | (?P<user>(?<![\w-])(?:-u|--user)[ =][^\s:'"]{1,100}:)(?!\d+(?:\s|$)|/)[^\s'"]{4,}
    | (?P<bearer>(?i:\bbearer[ ]))[\w.~+/=-]{8,}
    | (?P<basic>(?i:\bbasic[ ]))[A-Za-z0-9+/]{12,}=*(?=['"\s]|$)
    """,
    re.VERBOSE,
)
_HEADER_HINTS = ("auth", "cookie", "bearer ", "basic ", "-u")
# name = value, name: value, 'name': 'value', <name>value, --name value and "password value", where
# the value is a literal, not a piece of code. Apart from each other, since what follows a plain
# name may be a secret's: "Error: password=...".
_NAME = re.compile(
    r"""
    (?<![\w.-])
    (?: (?P<name>[\w.-]++) (?: (?:\\?["'])? \s* (?P<sign>[:=]{1,2}>?) \s* | > | %3[ADad] )
      | (?P<option>--[\w-]++)[ ]+ | (?P<word>(?i:password|passphrase)[ ](?:is[ ])?) )
    """,
    re.VERBOSE,
)
_VALUE = re.compile(
    r"""
      [bBrRuU]{0,2}(?P<quote>\\?["']) (?P<quoted>(?:(?!(?P=quote))(?:[^\\\n]|\\.))+) (?P=quote)
    | (?P<bare>[^\s'"`,;&(){}\[\]<>\\]{4,}+) (?![(\[])
    """,
    re.VERBOSE,
)
# The patterns are slow, and most output has nothing for them: text with none of these hints, in
# lower case, is left alone.
_NAME_HINTS = (
    *("pass", "secret", "token", "credential", "creds", "pwd", "key", "auth", "conn", "hook"),
    *("sig", "cookie", "sess"),
)
_LITERALS = frozenset({"None", "True", "False", "null", "true", "false"})
# Names that have other meanings, too: what they are given is secret if it looks like a token.
_AMBIGUOUS = frozenset(
    {"token", "auth", "authorization", "cookie", "pass", "sig", "signature"}
    | {"sessionid", "jsessionid", "phpsessid"}
)


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
    if "=" in text or "://" in text:
        text = _IN_URLS.sub(_but_for_its_group, text)
    if any(hint in lowered for hint in _HEADER_HINTS):
        text = _IN_HEADERS.sub(_but_for_its_group, text)
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
    if name in _FOLDERS:
        return False
    words = _words(name)
    if not _SECRET_WORDS.isdisjoint(words) or any(word.endswith(_SECRET_ENDS) for word in words):
        return True
    if not _SECRET_PAIRS.isdisjoint(itertools.pairwise(words)):
        return True
    return words[-1:] == ["token"] and _PLAIN_TOKENS.isdisjoint(words[-2:-1])


def _words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


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


def _but_for_its_group(found: re.Match[str]) -> str:
    return (found[found.lastgroup] if found.lastgroup else "") + REDACTED


def _redact_assigned(text: str) -> str:
    """Replace the values that stand after secret names."""
    parts, done, position = [], 0, 0
    while found := _NAME.search(text, position):
        position = found.end()
        name = found["name"] or found["option"] or found["word"]
        value = _VALUE.match(text, position) if _may_name_a_secret(name) else None
        if value is None or not _is_secret(name, value, found["sign"]):
            continue
        quote = value["quote"] or ""
        parts += [text[done:position], f"{quote}{REDACTED}{quote}"]
        done = position = value.end()
    return "".join((*parts, text[done:]))


@functools.lru_cache(maxsize=4096)
def _may_name_a_secret(name: str) -> bool:
    return is_secret_name(name) or name in _FOLDERS or not _AMBIGUOUS.isdisjoint(_words(name)[-1:])


def _is_secret(name: str, value: re.Match[str], sign: str | None) -> bool:
    """Whether a value is one: `token = tokens` is code, `token=a1b2c3d4` is not."""
    text = value["quoted"] or value["bare"]
    if not value["quote"] and text in _LITERALS:
        return False
    if name.upper() in _FOLDERS:  # the user of a database has a PWD, too: PWD=hunter2;
        is_folder = text.startswith(("/", "~", ".", "$")) or text[1:2] == ":"
        return not is_folder and (sign == "=" or _looks_like_a_token(text))
    weak = name.endswith(" ") or (name.lower().endswith("token") and not value["quote"])
    if is_secret_name(name) and not weak:
        return True
    return _looks_like_a_token(text)


def _looks_like_a_token(text: str) -> bool:
    if len(text) < 8 or any(c.isspace() for c in text):
        return False
    with contextlib.suppress(ValueError):
        float(text)
        return False
    return any(c.isdigit() for c in text) and any(c.isalpha() for c in text)
