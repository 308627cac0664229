"""Results with more than a loss, attachments, and everything that is read of the trials."""

import pickle
import time

from hyperopt import STATUS_OK, Trials, fmin, hp, tpe


def objective(x):
    return {
        "loss": x**2,
        "status": STATUS_OK,
        "eval_time": time.time(),
        "other_stuff": {"type": None, "value": [0, 1, 2]},
        "attachments": {"time_module": pickle.dumps(time.time)},
    }


trials = Trials()
best = fmin(
    objective, space=hp.uniform("x", -10, 10), algo=tpe.suggest, max_evals=10, trials=trials
)
message = trials.trial_attachments(trials.trials[5])["time_module"]
time_module = pickle.loads(message)

assert time_module() > trials.results[0]["eval_time"]
assert len(trials.trials) == len(trials) == len(trials.losses()) == 10
assert trials.statuses() == ["ok"] * 10
assert trials.results[3]["other_stuff"] == {"type": None, "value": [0, 1, 2]}
assert "attachments" not in trials.results[3]
assert trials.vals["x"][trials.best_trial["tid"]] == best["x"] == trials.argmin["x"]
assert min(trials.losses()) == trials.best_trial["result"]["loss"] == trials.average_best_error()
assert [t["misc"]["vals"]["x"][0] ** 2 for t in trials.trials] == trials.losses()
seconds = [(t["refresh_time"] - t["book_time"]).total_seconds() for t in trials.trials]
assert min(seconds) >= 0
assert sorted(trials.trials[0]) == sorted(
    ["state", "tid", "spec", "result", "misc", "exp_key", "owner", "version"]
    + ["book_time", "refresh_time"]
)
