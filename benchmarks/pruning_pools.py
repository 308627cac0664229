"""Learning curves of real small trainings of different lengths, with learning-rate schedules.

Each pool has 300 trainings of a network with one hidden layer, at random settings: 9 to 50 epochs,
a schedule, learning rate, momentum, weight decay, width, batch size. A schedule is as long as its
training, so the same step of two trainings is a different part of each. In three pools steps are
batches, or rows in some trainings and epochs in others.

    python benchmarks/pruning_pools.py FOLDER [--seed 0]

It writes a file for each pool, which takes a core half a minute to two, and leaves those that are
there. Another seed gives other trainings. The data is in `$MANYFIT_DATA`, by default
`../shared/data`.
"""

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

EACH, ROWS, HELD_OUT = 300, 1000, 1000
SCHEDULES = ("warm-up and cosine", "one cycle", "step decay", "constant")
Data = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Recipe:
    """How a pool is made.

    Attributes:
        data: The name of a data set.
        schedules: A training has one of these.
        unit: What steps count: epochs, batches, or "mixed", rows or epochs.
        lengths: A training has one of these numbers of epochs; empty for any from 9 to 50.
        error: Whether trainings report the share of errors, instead of the loss they descend.
        kept: Whether the pool was kept back when the default pruner was made.
    """

    data: str
    schedules: tuple[str, ...]
    unit: str = "epochs"
    lengths: tuple[int, ...] = ()
    error: bool = False
    kept: bool = False


RECIPES: Mapping[str, Recipe] = {
    "phoneme, cosine": Recipe("phoneme", SCHEDULES[:1]),
    "california, step decay": Recipe("california", SCHEDULES[2:3], lengths=(9, 15, 27, 50)),
    "digits, any schedule": Recipe("digits", SCHEDULES, error=True),
    "price band, one cycle, batches": Recipe("price band", SCHEDULES[1:2], unit="batches"),
    "ames, cosine": Recipe("ames", SCHEDULES[:1], kept=True),
    "satimage, any schedule": Recipe("satimage", SCHEDULES, kept=True),
    "m4, one cycle, batches": Recipe("m4", SCHEDULES[1:2], unit="batches", kept=True),
    "credit, any, mixed units": Recipe("credit", SCHEDULES, unit="mixed", kept=True),
}


def rate(schedule: str, progress: float) -> float:
    """Return the share of the highest learning rate at a share of the training."""
    if schedule == "one cycle":
        rise = (1 - np.cos(np.pi * min(1.0, progress / 0.3))) / 2
        fall = (1 + np.cos(np.pi * max(0.0, (progress - 0.3) / 0.7))) / 2
        return float(0.04 + 0.96 * rise if progress < 0.3 else fall)
    if schedule == "warm-up and cosine":
        if progress < 0.1:
            return progress / 0.1
        return float((1 + np.cos(np.pi * (progress - 0.1) / 0.9)) / 2)
    if schedule == "step decay":
        return 0.1 ** sum(progress >= at for at in (0.5, 0.75))
    return 1.0


def settings(recipe: Recipe, rng: np.random.Generator) -> dict[str, float]:
    """Draw the settings of a training."""
    lengths = recipe.lengths
    return {
        "learning_rate": float(10 ** rng.uniform(-3, 0.3)),
        "momentum": float(1 - 10 ** rng.uniform(-1.5, 0)),
        "weight_decay": float(10 ** rng.uniform(-6, -1.5)),
        "width": int(2 ** rng.uniform(2, 6)),
        "batch": int(2 ** rng.uniform(4.5, 7.5)),
        "epochs": int(rng.choice(lengths)) if lengths else int(np.exp(rng.uniform(2.2, 3.93))),
        "schedule": int(rng.integers(len(recipe.schedules))),
        "unit": int(rng.integers(2)) if recipe.unit == "mixed" else 0,
    }


class Network:
    """A network with one hidden layer, trained by momentum: softmax, or squares for one output."""

    def __init__(self, inputs: int, outputs: int, width: int, rng: np.random.Generator) -> None:
        scales = ((inputs, width), (width, outputs))
        self._weights = [rng.normal(0, np.sqrt(2 / a), (a, b)) for a, b in scales]
        self._weights += [np.zeros(width), np.zeros(outputs)]
        self._speeds = [np.zeros_like(weight) for weight in self._weights]

    def _forward(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first, second, bias, last = self._weights
        hidden = np.maximum(x @ first + bias, 0)
        return hidden, hidden @ second + last

    def step(self, x: np.ndarray, y: np.ndarray, lr: float, momentum: float, decay: float) -> None:
        """Train on a batch."""
        hidden, out = self._forward(x)
        slope = ((_softmax(out) if y.shape[1] > 1 else out) - y) / len(x)
        back = (slope @ self._weights[1].T) * (hidden > 0)
        slopes = [x.T @ back, hidden.T @ slope, back.sum(0), slope.sum(0)]
        for weight, speed, gradient in zip(self._weights, self._speeds, slopes, strict=True):
            np.copyto(speed, momentum * speed - lr * (gradient + decay * weight))
            np.copyto(weight, weight + speed)

    def loss(self, x: np.ndarray, y: np.ndarray, *, error: bool) -> float:
        """Return the mean loss, or the share of errors."""
        _, out = self._forward(x)
        if error:
            return float((out.argmax(1) != y.argmax(1)).mean())
        if y.shape[1] == 1:
            return float(((out - y) ** 2).mean())
        return float(-np.log(np.maximum(_softmax(out)[y > 0], 1e-12)).mean())


def _softmax(out: np.ndarray) -> np.ndarray:
    powers = np.exp(out - out.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def train(
    recipe: Recipe, drawn: Mapping[str, float], fit: Data, held: Data, rng: np.random.Generator
) -> tuple[list[int], list[float]]:
    """Return a training's steps, one an epoch, and its losses on what is held out."""
    x, y = fit
    network = Network(x.shape[1], y.shape[1], int(drawn["width"]), rng)
    schedule, batch = recipe.schedules[int(drawn["schedule"])], int(drawn["batch"])
    epochs, batches = int(drawn["epochs"]), -(-len(x) // batch)
    in_mixed = 1 if drawn["unit"] else len(x)
    a_step = {"epochs": 1, "batches": batches, "mixed": in_mixed}[recipe.unit]
    losses: list[float] = []
    with np.errstate(all="ignore"):  # trainings may diverge
        for epoch in range(epochs):
            order = rng.permutation(len(x))
            for at in range(batches):
                rows = order[at * batch : (at + 1) * batch]
                lr = drawn["learning_rate"] * rate(schedule, (epoch + at / batches) / epochs)
                network.step(x[rows], y[rows], lr, drawn["momentum"], drawn["weight_decay"])
            losses.append(network.loss(*held, error=recipe.error))
    # Epochs are counted from 0, as is usual; batches and rows are those trained on.
    first = 0 if a_step == 1 else a_step
    return [first + a_step * epoch for epoch in range(epochs)], losses


def make(recipe: Recipe, seed: int) -> dict[str, np.ndarray]:
    """Train a pool; what ended early is filled up with NaN, and with -1 for steps."""
    rng = np.random.default_rng(seed)
    x, y = _READ[recipe.data]()
    order = np.random.default_rng(0).permutation(len(x))
    rows, held = order[:ROWS], order[ROWS : ROWS + HELD_OUT]
    mean, scale = x[rows].mean(0), x[rows].std(0) + 1e-9
    x = np.clip((x - mean) / scale, -5, 5)
    curves, steps = np.full((EACH, 50), np.nan), np.full((EACH, 50), -1)
    table = [settings(recipe, rng) for _ in range(EACH)]
    for index, drawn in enumerate(table):
        at, losses = train(recipe, drawn, (x[rows], y[rows]), (x[held], y[held]), rng)
        # A training that diverges to infinity has no NaN, which would look like its end.
        curves[index, : len(losses)] = np.nan_to_num(losses, nan=np.inf)
        steps[index, : len(at)] = at
    params = np.array([list(drawn.values()) for drawn in table])
    return {"curves": curves, "steps": steps, "params": params, "names": np.array(list(table[0]))}


def _table(name: str, target: str) -> tuple[np.ndarray, pd.Series]:
    root = Path(os.environ.get("MANYFIT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    frame = pd.read_csv(root / name, sep="\t" if ".tsv" in name else ",")
    numbers = list(frame.drop(columns=target).select_dtypes("number").columns)
    frame = frame[[*numbers, target]].dropna().reset_index(drop=True)
    return frame[numbers].to_numpy(dtype=float), frame[target]


def _classes(found: tuple[np.ndarray, pd.Series]) -> Data:
    x, target = found
    return x, pd.get_dummies(target).to_numpy(dtype=float)


def _numbers(found: tuple[np.ndarray, pd.Series]) -> Data:
    x, target = found
    logs = np.log(target.to_numpy(dtype=float))[:, None]
    return x, (logs - logs.mean()) / logs.std()


def _bands() -> Data:
    x, target = _table("california_houses.tsv.gz", "target")
    return _classes((x, pd.qcut(target, 5, labels=False)))


def _digits() -> Data:
    x, target = load_digits(return_X_y=True)
    return _classes((x, pd.Series(target)))


def _hours() -> Data:
    """Return a day of each hourly series, and the hour that follows, relative to that day."""
    root = Path(os.environ.get("MANYFIT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    series = pd.read_csv(root / "m4_hourly_train.csv.gz", index_col=0).to_numpy(dtype=float)
    starts = np.random.default_rng(0).integers(0, 600, (5, len(series)))
    days = np.concatenate(
        [
            np.stack([row[at : at + 49] for row, at in zip(series, each, strict=True)])
            for each in starts
        ]
    )
    scaled = (days - days[:, :48].mean(1, keepdims=True)) / (days[:, :48].std(1, keepdims=True) + 1)
    return scaled[:, :48], scaled[:, 48:]


_READ: Mapping[str, Callable[[], Data]] = {
    "phoneme": lambda: _classes(_table("phoneme.tsv.gz", "target")),
    "satimage": lambda: _classes(_table("satimage.tsv.gz", "target")),
    "credit": lambda: _classes(_table("credit_data.csv.gz", "Status")),
    "california": lambda: _numbers(_table("california_houses.tsv.gz", "target")),
    "ames": lambda: _numbers(_table("ames.csv.gz", "Sale_Price")),
    "price band": _bands,
    "digits": _digits,
    "m4": _hours,
}


def main() -> None:
    """Make the pools that aren't there."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    for number, (name, recipe) in enumerate(RECIPES.items()):
        path = asked.folder / f"{name}.npz"
        if not path.exists():
            np.savez_compressed(path, **make(recipe, asked.seed + number), kept=recipe.kept)
            print(path, flush=True)


if __name__ == "__main__":
    main()
