"""Two tables of mixed types, each split into rows for tuning and test rows."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

# The folder with credit_data.csv.gz and ames.csv.gz.
FOLDER = Path(os.environ.get("MANYFIT_DATA", Path(__file__).parents[2] / "shared" / "data"))
SEED = 0


@dataclass(frozen=True)
class Table:
    """Rows for tuning, and test rows.

    Attributes:
        rest: The rows for training and validation.
        test: The rows for a single evaluation at the end.
        numbers: The columns with numbers.
        texts: The columns with words.
    """

    rest: pd.DataFrame
    test: pd.DataFrame
    numbers: list[str]
    texts: list[str]


def credit() -> Table:
    """Return loans: `label` is 1 if they were not repaid. Some cells are missing."""
    frame = _read("credit_data.csv.gz")
    if frame is None:
        frame, score = _generated(4_454, 9, 4)
        frame["Status"] = np.where(score > 1.5, "bad", "good")
    label = (frame.pop("Status") == "bad").astype("float64")
    return _divided(frame, label)


def ames() -> Table:
    """Return houses sold in Ames, Iowa: `label` is the logarithm of the price."""
    frame = _read("ames.csv.gz", keep_default_na=False)
    if frame is None:
        frame, score = _generated(2_930, 33, 40)
        frame["Sale_Price"] = np.exp(12 + score / 4)
    label = np.log(frame.pop("Sale_Price").astype("float64"))
    return _divided(frame, label)


def _read(name: str, **options: bool) -> pd.DataFrame | None:
    if (FOLDER / name).exists():
        return pd.read_csv(FOLDER / name, **options)
    print(f"There is no {name} in {FOLDER} (MANYFIT_DATA): a generated table of its shape instead.")
    return None


def _divided(frame: pd.DataFrame, label: pd.Series) -> Table:
    numbers = frame.select_dtypes("number").columns.to_list()
    texts = [name for name in frame.columns if name not in numbers]
    frame = frame.astype(dict.fromkeys(numbers, "float64")).fillna(dict.fromkeys(texts, "unknown"))
    frame = frame.assign(label=label).sample(frac=1.0, random_state=SEED)
    n = len(frame) // 5
    return Table(frame[n:], frame[:n], numbers, texts)


def _generated(n: int, numbers: int, texts: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Make a table, and a score that depends on some of its columns."""
    rng = np.random.default_rng(SEED)
    values = rng.normal(size=(n, numbers))
    words = rng.integers(0, 5, size=(n, texts))
    score = values[:, 0] + 0.5 * values[:, 1] ** 2 + (words[:, 0] == 0) + rng.normal(size=n)
    values[rng.random(values.shape) < 0.01] = np.nan
    columns = {f"number_{i}": values[:, i] for i in range(numbers)}
    columns |= {f"text_{i}": np.array(list("abcde"))[words[:, i]] for i in range(texts)}
    return pd.DataFrame(columns), score
