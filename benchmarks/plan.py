"""Are a plan's predictions true? A study with 2 slots predicts the time of others with 2, 4 and 8.

    python benchmarks/plan.py [--trials 60]

Three real studies of scikit-learn on data that it bundles: forests, a multi-layer perceptron that
reports its epochs, and support vector machines, whose durations depend on their params most. They
run in processes on this machine, which must have nothing else to do.
"""

import argparse
import tempfile
import time
import warnings

import manyfit

SLOTS = (2, 4, 8)


def digits():
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    rows, targets = load_digits(return_X_y=True)
    return train_test_split(rows / 16.0, targets, test_size=0.3, random_state=0)


def forest(params):
    from sklearn.ensemble import RandomForestClassifier

    rows, rows_test, targets, targets_test = digits()
    model = RandomForestClassifier(300, random_state=0, **params)
    return {"accuracy": model.fit(rows, targets).score(rows_test, targets_test)}


def perceptron(params):
    import numpy as np
    from sklearn.neural_network import MLPClassifier

    rows, rows_test, targets, targets_test = digits()
    model = MLPClassifier((params["units"],), learning_rate_init=params["rate"], random_state=0)
    for epoch in range(40):
        model.partial_fit(rows, targets, classes=np.unique(targets))
        manyfit.report(epoch, accuracy=model.score(rows_test, targets_test))
    return {"accuracy": model.score(rows_test, targets_test)}


def machine(params):
    from sklearn.model_selection import cross_val_score
    from sklearn.svm import SVC

    rows, _, targets, _ = digits()
    return {"accuracy": cross_val_score(SVC(**params), rows, targets, cv=5).mean()}


STUDIES = {
    forest: {
        "max_features": manyfit.Float(0.05, 1.0),
        "min_samples_leaf": manyfit.Int(1, 20, log=True),
    },
    perceptron: {
        "units": manyfit.Int(16, 512, log=True),
        "rate": manyfit.Float(1e-4, 1e-1, log=True),
    },
    machine: {
        "C": manyfit.Float(0.01, 100, log=True),
        "gamma": manyfit.Float(1e-4, 10, log=True),
    },
}


def run(objective, slots, n_trials, folder, seed):
    began = time.perf_counter()
    result = manyfit.tune(
        objective,
        STUDIES[objective],
        metric="accuracy",
        direction="maximize",
        n_trials=n_trials,
        parallelism=slots,
        cpus_per_trial=1,
        seed=seed,
        tracker=None,
        progress=None,
        folder=folder,
    )
    return result, time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=60)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for objective in STUDIES:
        with tempfile.TemporaryDirectory() as folder:
            recorded, _ = run(objective, 2, arguments.trials, folder, seed=0)
            began = time.perf_counter()
            plan = recorded.plan(arguments.trials, slots=SLOTS, machines=1)
            print(f"{objective.__name__}: planned in {time.perf_counter() - began:.1f} s")
            for row in plan.rows:
                _, took = run(objective, row.slots, arguments.trials, folder, seed=row.slots)
                print(
                    f"  {row.slots} slots: predicted {row.seconds:5.1f} s "
                    f"({row.low:.1f} to {row.high:.1f}), took {took:5.1f} s: "
                    f"{row.seconds / took - 1:+.0%}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
