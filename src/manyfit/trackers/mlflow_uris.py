"""What MLflow's URIs say: where a tracking store is, and where artifacts are."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from manyfit._redact import redact


def absolute(uri: str, folder: Path) -> str:
    """Return a tracking URI that means the same in every folder.

    Example:
        >>> absolute("sqlite:///mlflow.db", Path("/work"))
        'sqlite:////work/mlflow.db'
        >>> absolute("./mlruns", Path("/work"))
        'file:///work/mlruns'
    """
    scheme, found, path = uri.partition(":///")
    if found and scheme.startswith("sqlite") and not path.startswith(("/", ":memory:")):
        return f"{scheme}:///{folder / path}"
    if ":" in uri or uri.startswith("databricks"):
        return uri
    return (folder / uri).as_uri()


def without_user(uri: str) -> str:
    """Return a URI without what may be a credential: a user, a password, a token in a user's place.

    Example:
        >>> without_user("https://dapi123@example.com/ml"), without_user("sqlite:////work/m.db")
        ('https://example.com/ml', 'sqlite:////work/m.db')
    """
    return redact(re.sub(r"(?<=://)(?:[^/?#]*|[^/:?#]+:[^?#]*)@", "", uri))


def is_local(uri: str) -> bool:
    """Whether a tracking URI names a database or a folder, and not a server.

    Example:
        >>> is_local("sqlite:////work/mlflow.db"), is_local("http://127.0.0.1:5000")
        (True, False)
    """
    return not uri.startswith(("http:", "https:", "databricks"))


def is_folder(artifacts: str) -> bool:
    """Whether artifacts are in a folder, which other machines may not have.

    Example:
        >>> is_folder("/home/ann/mlruns"), is_folder("s3://bucket"), is_folder("mlflow-artifacts:/")
        (True, False, False)
    """
    return urlsplit(artifacts).scheme in ("", "file")


def artifact_root(location: str, experiment_id: str) -> str:
    """Return what an experiment's artifacts are in, beside those of other experiments.

    Example:
        >>> artifact_root("/home/ann/mlruns/0", "0")
        '/home/ann/mlruns'
        >>> artifact_root("s3://bucket/all", "0")
        's3://bucket/all'
    """
    parent, _, last = location.rstrip("/").rpartition("/")
    return parent if last == experiment_id else location.rstrip("/")
