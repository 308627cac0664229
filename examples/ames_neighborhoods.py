"""House prices for each neighborhood: is it worth tuning each one separately?

    python examples/ames_neighborhoods.py [--trials 30] [--spark [--master local[4]]]

The houses of Ames, Iowa (De Cock, "Ames, Iowa: alternative to the Boston housing data", 2011) come
in 28 neighborhoods of 1 to about 350 houses. Params are tuned for each neighborhood, and once for
all of them; both are compared on rows that played no part in tuning, and then on test rows.
"""

import argparse

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge
from start import spark_on
from tables import ames

import manyfit

COLUMNS = ["Gr_Liv_Area", "Total_Bsmt_SF", "Lot_Area", "Year_Built", "Garage_Area", "Latitude"]
SPACE = {
    "alpha": manyfit.Float(1e-2, 1e4, log=True),
    "columns": manyfit.Int(1, len(COLUMNS)),
    "logs": manyfit.Choice([True, False]),
}
DEFAULT = {"alpha": 10.0, "columns": 3, "logs": True}
FOLDS = 4


def features(houses, params):
    """Return the features of houses."""
    x = houses[COLUMNS[: params["columns"]]].to_numpy()
    return np.log1p(np.abs(x)) if params["logs"] else x


def fit_ridge(houses, params):
    """Return a function that predicts the log prices of houses."""
    x = features(houses, params)
    middle, scale = x.mean(axis=0), x.std(axis=0) + 1e-9
    model = Ridge(alpha=params["alpha"]).fit((x - middle) / scale, houses["label"])
    return lambda others: model.predict((features(others, params) - middle) / scale)


def rmse(found, houses):
    """Return the error of predicted log prices."""
    return float(np.sqrt(np.mean((found - houses["label"]) ** 2)))


def fit(houses, params):
    """The objective: `val_rmse` over folds is tuned, `kept_rmse` is that of separate rows."""
    part = np.arange(len(houses)) % (FOLDS + 1)
    tuned, kept = houses[part < FOLDS], houses[part == FOLDS]
    if len(kept) < 2:
        raise ValueError(f"{len(houses)} houses are too few for {FOLDS} folds and a part kept out")
    fold = np.arange(len(tuned)) % FOLDS
    errors = [
        rmse(fit_ridge(tuned[fold != k], params)(tuned[fold == k]), tuned[fold == k])
        for k in range(FOLDS)
    ]
    figures = {
        "val_rmse": float(np.mean(errors)),
        "kept_rmse": rmse(fit_ridge(tuned, params)(kept), kept),
    }
    return figures, fit_ridge(houses, params)


def rows():
    """Return training and test houses, with their neighborhoods."""
    table = ames()
    names = [*COLUMNS, "Neighborhood", "label"]
    if "Neighborhood" not in table.rest:  # generated: other names, and neighborhoods of all sizes
        renamed = dict(zip(table.numbers, COLUMNS, strict=False))
        rng = np.random.default_rng(0)
        sizes = np.append(1, rng.lognormal(4, 1, 27))
        made = [
            part.rename(columns=renamed).assign(
                Neighborhood=rng.choice(28, size=len(part), p=sizes / sizes.sum()).astype(str)
            )
            for part in (table.rest, table.test)
        ]
        return [part[names].fillna(0.0).reset_index(drop=True) for part in made]
    return [part[names].reset_index(drop=True) for part in (table.rest, table.test)]


def tune(houses, **settings):
    """Tune the neighborhoods."""
    settings = {"baseline": DEFAULT, "keep_models": True, "seed": 0, **settings}
    return manyfit.tune_groups(
        houses, by="Neighborhood", objective=fit, space=SPACE, metric="val_rmse", **settings
    )


def error_on(test, result):
    """Return the error on test rows whose neighborhood has a model, and the number of rows."""
    predicted = result.predict(test).dropna(subset="prediction")
    return rmse(predicted["prediction"], predicted), len(predicted)


def main():
    """Tune both ways, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=30, help="trials per neighborhood (30)")
    parser.add_argument("--spark", action="store_true", help="on Spark instead of processes here")
    parser.add_argument("--master", help="spark://..., local[4], or sc://...")
    options = parser.parse_args()
    houses, test = rows()
    both = {}
    for mode in ("independent", "shared"):
        if options.spark:
            with spark_on(options.master) as spark:
                both[mode] = tune(spark.createDataFrame(houses), n_trials=options.trials, mode=mode)
        else:
            both[mode] = tune(houses, n_trials=options.trials, mode=mode)
        print(both[mode])
    own, shared = both["independent"], both["shared"]
    print("By the rows that decided:", own.compare(shared))
    print("By rows kept out:", own.compare(shared, "kept_rmse"))
    figures = {mode: error_on(test, result) for mode, result in both.items()}
    print(pd.DataFrame(figures, index=["test RMSE of log prices", "houses"]).T.round(4).to_string())


if __name__ == "__main__":
    main()
