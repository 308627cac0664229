"""Packs code, data, environment and secrets for workers on a cluster."""

import logging
import os
import re
import secrets as randomness
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from manyfit._checks import check_text
from manyfit._redact import is_secret_name
from manyfit.data.shared import in_transit
from manyfit.errors import ArgumentError
from manyfit.remote.broadcasts import Broadcasts
from manyfit.remote.cluster import Cluster
from manyfit.remote.setup import WorkerSetup
from manyfit.ship.bundle import bundle
from manyfit.ship.chosen import Shippable
from manyfit.ship.listing import ShippingList, shipping_list
from manyfit.ship.weight import size_warning
from manyfit.worker.payload import pack
from manyfit.worker.work import Work

logger = logging.getLogger("manyfit")

# Variables for clients of a tracking server are passed on.
_PASSED_ON = ("MLFLOW_", "DATABRICKS_")


@dataclass(frozen=True, slots=True)
class Equipment:
    """What workers receive, and what they must have.

    Attributes:
        setup: Work, code, environment, and the routes of shared data.
        listing: The modules to send, and the packages that must be installed.
        broadcasts: Offers shared data to workers until it is closed.
    """

    setup: WorkerSetup
    listing: ShippingList
    broadcasts: Broadcasts


@dataclass(frozen=True, slots=True)
class Packing:
    """What a user wants workers to receive.

    Attributes:
        storage: A folder or URL that the driver and all workers can access, for large shared data.
        ship: What to send instead of the modules found automatically.
        env: Environment variables for the objective's process.
        secrets: Further variables, whose values are redacted in everything that is written.
    """

    storage: str | None = None
    ship: Sequence[Shippable] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        storage: str | None,
        ship: Sequence[Shippable] | None,
        env: Mapping[str, str] | None,
        secrets: Sequence[str],
    ) -> "Packing":
        """Check what a user asked for; `secrets` are names of this process's variables.

        Raises:
            ArgumentError: A name or a value breaks a rule, or a secret isn't set.
        """
        place = check_text("storage", storage, "a folder or a URL")
        return cls(place, ship, _checked_env({} if env is None else env), _values_of(secrets))

    def equip(self, work: Work, cluster: Cluster) -> Equipment:
        """Pack everything for a work; the caller closes its broadcasts.

        Raises:
            ObjectiveError: The objective can't be pickled; the message names the part.
            ArgumentError: Shared data are too large for every route of the cluster.
        """
        listing = shipping_list(work.objective, self.ship)
        broadcasts = Broadcasts(cluster, self.storage)
        try:
            code = bundle(listing) if listing.travelling else b""
            return Equipment(self._setup(work, code, broadcasts), listing, broadcasts)
        except BaseException:
            broadcasts.close()
            raise

    def _setup(self, work: Work, code: bytes, broadcasts: Broadcasts) -> WorkerSetup:
        with in_transit() as shared:
            packed = pack(work)
        if warning := size_warning(len(packed), work.objective):
            logger.warning("%s.", warning)
        passed_on = {k: v for k, v in os.environ.items() if k.startswith(_PASSED_ON)}
        return WorkerSetup(
            study=work.study,
            token=f"{re.sub(r'[^A-Za-z0-9_]', '_', work.study)[:40]}-{randomness.token_hex(8)}",
            work=packed,
            code=code,
            limits=work.limits,
            env={k: v for k, v in passed_on.items() if not is_secret_name(k)} | {**self.env},
            secrets={k: v for k, v in passed_on.items() if is_secret_name(k)} | {**self.secrets},
            shared=broadcasts.offer(shared),
        )


def _checked_env(env: Any) -> dict[str, str]:
    if not isinstance(env, Mapping):
        raise ArgumentError(f"env must map names to strings, but got {env!r:.200}")
    checked = {}
    for name, value in env.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ArgumentError(f"env must map names to strings, but got {name!r}: {value!r:.100}")
        if is_secret_name(name):
            raise ArgumentError(
                f"{name} in env looks like a secret: set it in this process's environment and name "
                f"it in secrets=[{name!r}], so that its value is kept out of what is written"
            )
        if not name or "=" in name or "\0" in name + value:
            raise ArgumentError(
                f"env can't have a variable {name!r} with the value {value!r:.100}: a name may be "
                "neither empty nor contain '=', and neither of them a NUL character"
            )
        checked[name] = value
    return checked


def _values_of(secrets: Any) -> dict[str, str]:
    is_list = isinstance(secrets, Collection) and not isinstance(secrets, str | Mapping)
    if not is_list or not all(isinstance(name, str) for name in secrets):
        raise ArgumentError("secrets must be a list of names of environment variables")
    if missing := [name for name in secrets if name not in os.environ]:
        raise ArgumentError(
            f"secrets names {', '.join(missing)}, which this process's environment doesn't have"
        )
    return {name: os.environ[name] for name in secrets}
