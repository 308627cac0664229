"""What tuning many groups costs beside their fits: tune_groups, and Optuna in applyInPandas.

    python benchmarks/groups.py overhead [--groups 10000]   both, on Spark with 2 cores, in one run
    python benchmarks/groups.py cost                        both, by CPU time, with fits of no time
    python benchmarks/groups.py scale                       100 to 10,000 groups; driver memory
    python benchmarks/groups.py skew                        one group 200 times the median, of 500
    python benchmarks/groups.py busy                        pandas, no Spark: are the cores busy?

A group is 100 rows; a trial is a ridge regression on 80 of them, judged by the other 20; in `skew`
it is boosting, which takes longer where there are more rows. Overhead is what is left of 2 cores'
time when the time in the objective, which it measures itself, is off. `cost` adds up the CPU time
of all processes, so that it can be measured on a machine that others use.
"""

import argparse
import contextlib
import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge

import manyfit
from manyfit.demo.cluster import session

CORES = 2
TRIALS = 20
ROWS = 100
COLUMNS = [f"x{n}" for n in range(5)]
SPACE = {"alpha": manyfit.Float(1e-3, 1e3, log=True), "power": manyfit.Float(0.5, 2.0)}


def rows(groups, sizes=None):
    """Return groups whose best params differ."""
    rng = np.random.default_rng(0)
    sizes = np.full(groups, ROWS) if sizes is None else np.asarray(sizes)
    keys = np.repeat(np.arange(groups), sizes)
    frame = pd.DataFrame(rng.normal(size=(len(keys), len(COLUMNS))), columns=COLUMNS)
    noise = rng.lognormal(size=groups)[keys] * rng.normal(size=len(keys))
    frame["y"] = frame[COLUMNS].sum(axis=1) + noise
    frame["series"] = keys
    return frame


def ridge(group, alpha, power):
    """Fit on four fifths of the rows; returns the error on the rest."""
    x = np.sign(group[COLUMNS].to_numpy()) * np.abs(group[COLUMNS].to_numpy()) ** power
    y = group["y"].to_numpy()
    cut = len(y) * 4 // 5
    found = Ridge(alpha=alpha).fit(x[:cut], y[:cut]).predict(x[cut:])
    return float(np.mean((found - y[cut:]) ** 2))


def fit(group, params):
    """The objective."""
    return ridge(group, params["alpha"], params["power"])


def nothing(group, params):
    """An objective that takes no time."""
    return quick(params["alpha"], params["power"])


def quick(alpha, power):
    """A value that depends on params alone."""
    return (power - 1.0) ** 2 + 1e-3 * alpha


def boosted(group, params):
    """An objective whose time is that of its rows."""
    from sklearn.ensemble import GradientBoostingRegressor

    x, y = group[COLUMNS].to_numpy(), group["y"].to_numpy()
    cut = len(y) * 4 // 5
    model = GradientBoostingRegressor(n_estimators=50, learning_rate=params["rate"], random_state=0)
    found = model.fit(x[:cut], y[:cut]).predict(x[cut:])
    return float(np.mean((found - y[cut:]) ** 2))


def nothing_with_optuna(group):
    """Tune a group that takes no time."""
    return with_optuna(group, lambda _, alpha, power: quick(alpha, power))


def with_optuna(group, function=ridge):
    """Tune a group as it is usually done: a study in the task."""
    import time

    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    spent = 0.0

    def objective(trial):
        nonlocal spent
        alpha = trial.suggest_float("alpha", 1e-3, 1e3, log=True)
        power = trial.suggest_float("power", 0.5, 2.0)
        began = time.perf_counter()
        value = function(group, alpha, power)
        spent += time.perf_counter() - began
        return value

    sampler = optuna.samplers.TPESampler(seed=int(group["series"].iloc[0]))
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=TRIALS)
    return pd.DataFrame(
        {"series": [group["series"].iloc[0]], "value": study.best_value, "fit": spent}
    )


def tuned(data, folder, **settings):
    """Run tune_groups; returns the result and the seconds it took."""
    began = time.perf_counter()
    result = manyfit.tune_groups(
        data,
        by="series",
        metric="mse",
        n_trials=TRIALS,
        seed=0,
        folder=folder,
        tracker=None,
        progress=None,
        **{"objective": fit, "space": SPACE, **settings},
    )
    return result, time.perf_counter() - began


def share(name, seconds, fits, groups):
    """Print a line; returns the overhead of a group in seconds."""
    whole = CORES * seconds
    overhead = (whole - fits) / groups
    print(
        f"{name:<28} {seconds:7.1f} s   fits {fits / whole:4.0%}   "
        f"overhead {1 - fits / whole:4.0%}, {1000 * overhead:5.1f} ms a group",
        flush=True,
    )
    return overhead


def on_spark(spark, groups, sizes=None):
    """Return rows as a Spark DataFrame, read from a file as such tables are.

    Another process makes them, so that they are no part of the driver's peak memory.
    """
    path = Path(tempfile.mkdtemp(prefix="groups-")) / "rows.parquet"
    maker = multiprocessing.get_context("spawn").Process(target=write, args=(path, groups, sizes))
    maker.start()
    maker.join()
    return spark.read.parquet(str(path))


def write(path, groups, sizes):
    """Make rows, and put them into a file."""
    rows(groups, sizes).to_parquet(path, row_group_size=100_000)


def overhead(spark, folder, groups):
    """Both, after a warm-up of each."""
    data, few = on_spark(spark, groups), on_spark(spark, 40)
    tuned(few, folder)
    result, seconds = tuned(data, folder)
    fits = result.table["fit_seconds"].sum()
    ours = share("Manyfit", seconds, fits, groups)
    print(f"  mean best mse {result.table['value'].mean():.5f}")
    schema = "series bigint, value double, fit double"
    parts = 32 * CORES

    def peer(source):
        return (
            source.repartition(parts, "series")
            .groupBy("series")
            .applyInPandas(with_optuna, schema)
            .toPandas()
        )

    peer(few)
    began = time.perf_counter()
    found = peer(data)
    seconds = time.perf_counter() - began
    theirs = share("Optuna in applyInPandas", seconds, found["fit"].sum(), groups)
    print(f"  mean best mse {found['value'].mean():.5f}")
    print(f"overhead, Optuna's to Manyfit's: {theirs / ours:.1f}")


def cost(spark, folder, groups):
    """Both, after a warm-up of each, by CPU time."""
    data, few = on_spark(spark, groups), on_spark(spark, 40)
    schema = "series bigint, value double, fit double"

    def ours(source):
        tuned(source, folder, objective=nothing)

    def theirs(source):
        parts = source.repartition(32 * CORES, "series").groupBy("series")
        parts.applyInPandas(nothing_with_optuna, schema).toPandas()

    found = []
    for name, run in (("Manyfit", ours), ("Optuna in applyInPandas", theirs)):
        run(few)
        before = cpu_seconds()
        run(data)
        found.append((cpu_seconds() - before) / groups)
        print(f"{name:<28} {1000 * found[-1]:5.1f} ms of CPU time a group", flush=True)
    print(f"Optuna's to Manyfit's: {found[1] / found[0]:.1f}")


def cpu_seconds():
    """Return the CPU time of this process and all it has started, dead ones included."""
    parents, times = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
            parents[int(path.parent.name)] = int(fields[1])
            times[int(path.parent.name)] = sum(map(int, fields[11:15]))
    mine = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in mine} - mine:
        mine |= more
    return sum(times[pid] for pid in mine) / os.sysconf("SC_CLK_TCK")


def scale(spark, folder, groups):
    """From few groups to many."""
    tuned(on_spark(spark, 40), folder)
    for count in (groups // 100, groups // 10, groups):
        result, seconds = tuned(on_spark(spark, count), folder)
        share(f"{count} groups", seconds, result.table["fit_seconds"].sum(), count)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"  driver's peak memory {peak:.0f} MB", flush=True)


def skew(spark, folder, groups):
    """A giant among many: the best that can be is its own time, or all work over all cores."""
    sizes = np.full(500, ROWS)
    sizes[250] = 200 * ROWS
    settings = {"objective": boosted, "space": {"rate": manyfit.Float(0.01, 1.0, log=True)}}
    tuned(on_spark(spark, 40), folder, **settings)
    result, seconds = tuned(on_spark(spark, 500, sizes), folder, **settings)
    table = result.table
    best = max(table["seconds"].sum() / CORES, table["seconds"].max())
    print(
        f"giant alone {table['seconds'].max():.1f} s, all work over {CORES} cores "
        f"{table['seconds'].sum() / CORES:.1f} s; took {seconds:.1f} s: {seconds / best:.2f} times"
    )


def busy(_spark, folder, groups):
    """Pandas without Spark."""
    tuned(rows(40), folder)
    result, seconds = tuned(rows(groups), folder)
    table = result.table
    share("processes on pandas", seconds, table["fit_seconds"].sum(), groups)
    print(f"busy with groups: {table['seconds'].sum() / CORES / seconds:.0%}")


def main():
    """Run one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["overhead", "cost", "scale", "skew", "busy"])
    parser.add_argument("--groups", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.what == "busy":
            busy(None, folder, options.groups)
            return
        with session(f"local[{CORES}]", Path(folder) / "driver.log", {}) as spark:
            globals()[options.what](spark, folder, options.groups)


if __name__ == "__main__":
    main()
