"""Forecasts 48 hours of 414 series, with individual or shared params.

    python examples/m4_hourly.py [--mode independent|shared|transfer] [--spark [--master local[4]]]

The series are the hourly ones of the M4 competition (Makridakis, Spiliotis and Assimakopoulos, "The
M4 Competition", 2020); if they are missing, series are generated. Tuning uses only the 48 hours
before those to be forecast, which are forecast once, at the end, by models fitted on all earlier
hours.
"""

import argparse

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge
from start import spark_on
from tables import FOLDER

import manyfit

HOURS = 48
WEEK = 168
LAGS = {
    "days": (48, 72, 96, 120, 144, 168),
    "weeks": (168, 336),
    "both": (48, 49, 50, 71, 72, 73, 96, 120, 144, 167, 168, 169, 336),
}
SPACE = {
    "lags": manyfit.Choice(list(LAGS)),
    "alpha": manyfit.Float(1e-2, 1e4, log=True),
    "history": manyfit.Choice(["two weeks", "four weeks", "all"]),
    "log": manyfit.Choice([False, True]),
    "weekdays": manyfit.Choice([False, True]),
}
HISTORY = {"two weeks": 2 * WEEK, "four weeks": 4 * WEEK, "all": 10**6}
PUBLISHED = {
    "seasonal naive": (13.912, 1.193),
    "Theta": (18.138, 2.455),
    "MLP": (13.842, 2.607),
    "second place (Montero-Manso et al.)": (11.506, 0.819),
    "winner (Smyl)": (9.328, 0.893),
}


def features(y, times, params):
    """Return what is known of hours two days in advance: earlier values, and the calendar."""
    lagged = y[times[:, None] - np.array(LAGS[params["lags"]])]
    hours = np.eye(24)[times % 24]
    days = np.eye(7)[times // 24 % 7] if params["weekdays"] else np.empty((len(times), 0))
    recent = np.array([y[t - HOURS - 24 : t - HOURS].mean() for t in times])
    return np.column_stack([lagged, recent, hours, days])


def forecast(y, params):
    """Forecast the 48 hours after a series."""
    shift = 1.0 - min(y.min(), 0.0)
    known = np.log(y + shift) if params["log"] else y
    level, scale = known.mean(), known.std() or 1.0
    z = (known - level) / scale
    first = max(*LAGS[params["lags"]], HOURS + 24, len(z) - HISTORY[params["history"]])
    times = np.arange(first, len(z))
    model = Ridge(alpha=params["alpha"]).fit(features(z, times, params), z[times])
    ahead = np.arange(len(z), len(z) + HOURS)
    padded = np.concatenate([z, np.full(HOURS, np.nan)])
    found = model.predict(features(padded, ahead, params)) * scale + level
    if params["log"]:
        found = np.exp(np.minimum(found, known.max() + 2.0)) - shift
    return np.maximum(found, 0.0) if y.min() >= 0 else found


def naive(y):
    """Return the last day twice, as a forecast."""
    return np.tile(y[-24:], 2)


def errors(past, y, found):
    """Return sMAPE and MASE, as defined by the competition."""
    size = np.abs(y) + np.abs(found)
    smape = 200 * np.mean(np.abs(y - found) / np.where(size == 0, 1, size))
    season = np.mean(np.abs(past[24:] - past[:-24]))
    return {"mase": np.mean(np.abs(y - found)) / (season or 1.0), "smape": smape}


def fit(train, valid, params):
    """The objective: forecast the validation hours."""
    past = train["y"].to_numpy()
    return errors(past, valid["y"].to_numpy(), forecast(past, params))


def seasonal_naive(train, valid):
    """The baseline for tuning."""
    past = train["y"].to_numpy()
    return errors(past, valid["y"].to_numpy(), naive(past))


def read(folder):
    """Return all series as one frame, and the hours to be forecast."""
    found = []
    for part in ("train", "test"):
        wide = pd.read_csv(folder / f"m4_hourly_{part}.csv.gz", index_col=0)
        long = wide.rename_axis("series").reset_index().melt("series", value_name="y").dropna()
        long["hour"] = long.pop("variable").str[1:].astype(int)
        found.append(long.sort_values(["series", "hour"], ignore_index=True))
    return found


def generate(count=60, seed=0):
    """Return generated series, which are similar but not equal."""
    rng = np.random.default_rng(seed)
    times = np.arange(700 + HOURS)
    frames = []
    for number in range(count):
        day = np.sin(2 * np.pi * (times / 24 + rng.random()))
        week = np.where(times // 24 % 7 < 5, 1.0, rng.uniform(0.4, 1.0))
        noise = rng.normal(size=len(times)) * rng.uniform(0.02, 0.3)
        y = np.exp(rng.uniform(2, 6)) * (2 + day * week + noise + rng.normal() * times / 3000)
        frames.append(pd.DataFrame({"series": f"G{number}", "y": y, "hour": times + 1}))
    all_of_it = pd.concat(frames, ignore_index=True)
    is_test = all_of_it["hour"] > 700
    return [all_of_it[~is_test], all_of_it[is_test]]


def judge(test, history, params_of):
    """Forecast the test hours, each series with its params; returns mean sMAPE and MASE."""
    scores = []
    for series, hours in test.groupby("series"):
        past = history.get_group(series)["y"].to_numpy()
        params = params_of(series)
        found = naive(past) if params is None else forecast(past, params)
        scores.append(errors(past, hours["y"].to_numpy(), found))
    frame = pd.DataFrame(scores)
    return frame["smape"].mean(), frame["mase"].mean()


def main():
    """Tune, then forecast the test hours once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--mode", default="independent", choices=["independent", "shared", "transfer"])
    add("--trials", type=int, default=30, help="trials per series (30)")
    add("--series", type=int, help="the number of series (all)")
    add("--spark", action="store_true", help="on Spark instead of processes here")
    add("--master", help="spark://..., local[4], or sc://...")
    add("--name", help="the call's name; one that exists is resumed")
    options = parser.parse_args()
    real = (FOLDER / "m4_hourly_train.csv.gz").exists()
    if not real:
        print(f"There are no M4 series in {FOLDER} (MANYFIT_DATA): 60 generated ones instead.")
    train, test = read(FOLDER) if real else generate()
    if options.series:
        some = sorted(train["series"].unique())[: options.series]
        train, test = (part[part["series"].isin(some)] for part in (train, test))
    settings = dict(  # noqa: C408 - they are arguments
        by="series",
        order_by="hour",
        objective=fit,
        space=SPACE,
        metric="mase",
        holdout=f"last {HOURS}",
        baseline=seasonal_naive,
        n_trials=options.trials,
        mode=options.mode,
        name=options.name,
        seed=0,
    )
    if options.spark:
        with spark_on(options.master) as spark:
            result = manyfit.tune_groups(spark.createDataFrame(train), **settings)
    else:
        result = manyfit.tune_groups(train, **settings)
    print(result)
    default = {"lags": "days", "alpha": 10.0, "history": "all", "log": False, "weekdays": False}
    history = train.groupby("series")
    rows = {
        "seasonal naive, here": judge(test, history, lambda _: None),
        "the same params for all, untuned": judge(test, history, lambda _: default),
        f"tuned: {options.mode}": judge(test, history, result.params_of),
        **({f"published: {name}": both for name, both in PUBLISHED.items()} if real else {}),
    }
    print(pd.DataFrame(rows, index=["sMAPE", "MASE"]).T.round(3).to_string())


if __name__ == "__main__":
    main()
