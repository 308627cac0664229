"""MLflow's URIs: the same in every folder, and what they say of where things are."""

from pathlib import Path

import pytest

from manyfit.trackers.mlflow_uris import absolute, artifact_root, is_folder, is_local


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite:///mlflow.db", "sqlite:////here/mlflow.db"),
        ("sqlite:////abs/mlflow.db", "sqlite:////abs/mlflow.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("http://host:5000", "http://host:5000"),
        ("databricks", "databricks"),
        ("databricks://profile", "databricks://profile"),
        ("postgresql://host/db", "postgresql://host/db"),
        ("mlruns", "file:///here/mlruns"),
        ("file:///abs", "file:///abs"),
    ],
)
def test_a_tracking_uri_means_the_same_everywhere(uri: str, expected: str) -> None:
    """A relative one would make another database in each worker's folder."""
    assert absolute(uri, Path("/here")) == expected


@pytest.mark.parametrize("uri", ["sqlite:////a.db", "file:///a", "postgresql://host/db"])
def test_databases_and_folders_are_local(uri: str) -> None:
    """Clients read and write them directly, with no server in between."""
    assert is_local(uri)


@pytest.mark.parametrize("uri", ["http://a", "https://a", "databricks", "databricks://profile"])
def test_servers_are_not_local(uri: str) -> None:
    """They are asked."""
    assert not is_local(uri)


@pytest.mark.parametrize(
    ("location", "experiment", "root"),
    [
        ("/home/ann/mlruns/0", "0", "/home/ann/mlruns"),
        ("file:///home/ann/mlruns/0/", "0", "file:///home/ann/mlruns"),
        ("./mlruns/12", "12", "./mlruns"),
        ("/home/ann/all", "0", "/home/ann/all"),
        ("s3://bucket/x/7", "7", "s3://bucket/x"),
        ("mlflow-artifacts:/3", "3", "mlflow-artifacts:"),
    ],
)
def test_what_artifacts_are_in(location: str, experiment: str, root: str) -> None:
    """A folder for each experiment is beside those of others; a place of its own stands alone."""
    assert artifact_root(location, experiment) == root


def test_folders() -> None:
    """Paths and file URIs are folders; storage and servers aren't."""
    assert is_folder("/a/0")
    assert is_folder("./mlruns/0")
    assert is_folder("file:///a/0")
    assert not is_folder("dbfs:/a/0")
    assert not is_folder("mlflow-artifacts:/0")
