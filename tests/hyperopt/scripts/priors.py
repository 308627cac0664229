"""Normal and rounded laws, probabilities of options, lists and arithmetic in a space."""

import hyperopt
import numpy as np
from hyperopt import hp, rand

space = [
    hp.normal("offset", 3, 0.5),
    (hp.qnormal("steps", 10, 3, 2), hp.lognormal("rate", -2, 1)),
    {
        "batch": 2 ** hp.randint("power", 4, 8),
        "units": hp.qlognormal("units", 3, 0.5, 8),
        "drop": hp.qloguniform("drop", np.log(0.1), np.log(0.9), 0.1),
        "kind": hp.pchoice("kind", [(0.1, "rare"), (0.9, "usual")]),
        "seed": hp.uniformint("seed", 0, 100),
    },
]
points = []


def objective(args):
    offset, (steps, rate), more = args
    points.append(args)
    return abs(offset - 3) + abs(steps - 10) + rate + (more["kind"] == "rare")


trials = hyperopt.Trials()
best = hyperopt.fmin(
    objective,
    space,
    algo=rand.suggest,
    max_evals=40,
    trials=trials,
    rstate=np.random.default_rng(5),
    show_progressbar=False,
)
offset, (steps, rate), more = hyperopt.space_eval(space, best)

assert isinstance(points[0], tuple)
assert all(steps % 2 == 0 and rate > 0 for _, (steps, rate), _ in points)
assert {more["batch"] for _, _, more in points} <= {16, 32, 64, 128}
assert all(more["units"] % 8 == 0 and isinstance(more["seed"], int) for _, _, more in points)
assert sum(more["kind"] == "usual" for _, _, more in points) > 20
assert best["kind"] in (0, 1)
assert more["batch"] == 2 ** best["power"]
assert isinstance(best["seed"], float)
