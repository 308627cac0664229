"""PyTorch on Spark: each trial trains one model with two processes of the cluster.

It predicts who will not repay a loan, from the numbers alone. The network is small, to show how
it is done: it would train faster without a cluster.
"""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pyspark.ml.torch.distributor import TorchDistributor
from start import parse, spark_on
from tables import Table, credit

import manyfit
from manyfit import Choice, DriverExecutor, Float

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SPACE = {
    "learning_rate": Float(1e-3, 1e-1, log=True),
    "units": Choice([8, 32, 128]),
}
EPOCHS = 20


def main() -> None:
    """Tune, and evaluate the best trial on test rows."""
    options = parse("Tune a network with TorchDistributor.", trials=4)
    table = credit()
    with spark_on(options.master) as spark:
        result = tune(spark, table, n_trials=options.trials, name=options.name)
        print(result)
        rest, test = arrays(table)
        auc = distributor().run(training(rest, test), EPOCHS, **result.best.params)
    print(f"On {len(table.test)} test rows, which played no part in any decision: AUC {auc:.4f}")


def tune(
    spark: "SparkSession", table: Table, epochs: int = EPOCHS, parallelism: int = 2, **options: Any
) -> manyfit.StudyResult:
    """Tune on this cluster, with as many trials at once as it has slots for."""
    rest, _ = arrays(table)
    train = training(*split(rest))

    def objective(params: Mapping[str, Any]) -> dict[str, float]:
        return {"val_auc": distributor().run(train, epochs, **params)}

    executor = DriverExecutor(spark, parallelism, slots_per_trial=distributor())
    return manyfit.tune(
        objective,
        SPACE,
        metric="val_auc",
        direction="maximize",
        executor=executor,
        seed=0,
        **options,
    )


def distributor() -> TorchDistributor:
    """Return a distributor that runs a function in two connected processes of the cluster."""
    found = TorchDistributor(num_processes=2, local_mode=False, use_gpu=False)
    logging.getLogger("TorchDistributor").setLevel(logging.WARNING)
    return found


def training(train: "Rows", judge: "Rows") -> Any:
    """Return a function that trains on some rows and evaluates on others.

    It is a nested function, so that it is pickled by value: workers don't have this file.
    """

    def run(epochs: int, learning_rate: float, units: int) -> float:
        import torch
        import torch.distributed as dist
        from sklearn.metrics import roc_auc_score
        from torch import nn

        dist.init_process_group("gloo")
        torch.manual_seed(0)
        torch.set_num_threads(1)
        mine = slice(dist.get_rank(), None, dist.get_world_size())
        x, y = (torch.tensor(part[mine], dtype=torch.float32) for part in train)
        net = nn.Sequential(nn.Linear(x.shape[1], units), nn.ReLU(), nn.Linear(units, 1))
        model = nn.parallel.DistributedDataParallel(net)
        optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
        order = torch.Generator().manual_seed(0)
        for _ in range(epochs):
            for batch in torch.randperm(len(x), generator=order).split(64):
                optimizer.zero_grad()
                loss = nn.functional.binary_cross_entropy_with_logits(
                    model(x[batch]).squeeze(1), y[batch]
                )
                loss.backward()  # the two processes average their gradients here
                optimizer.step()
        with torch.no_grad():
            scores = net(torch.tensor(judge[0], dtype=torch.float32)).squeeze(1)
        dist.destroy_process_group()
        return float(roc_auc_score(judge[1], scores))  # that of the first process is returned

    return run


Rows = tuple[np.ndarray, np.ndarray]


def arrays(table: Table) -> tuple[Rows, Rows]:
    """Return features and labels of the rows for tuning, and of the test rows."""
    known = table.rest[table.numbers]

    def scaled(part: pd.DataFrame) -> Rows:
        features = (part[table.numbers] - known.mean()) / known.std()
        return features.fillna(0.0).to_numpy(), part["label"].to_numpy()

    return scaled(table.rest), scaled(table.test)


def split(rows: Rows) -> tuple[Rows, Rows]:
    """Split off every fifth row for validation."""
    features, labels = rows
    keep = np.arange(len(labels)) % 5 > 0
    return (features[keep], labels[keep]), (features[~keep], labels[~keep])


if __name__ == "__main__":
    main()
