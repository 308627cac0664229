"""Rules about the metric and the budget: the number of trials, how many at once, memory."""

import re

from manyfit.advice.advice import Advice
from manyfit.advice.planned import Planned
from manyfit.samplers.auto import startup

# A study of one or two trials is a test of the objective.
_TEST = 2
# The number of trials for each param, below which a model of the results learns little.
_EACH_PARAM = 2
# Rounds of proposals, and trials at once, below which proposals know too few results. With 8 at a
# time, 32 trials reach what one at a time reaches with 24 (benchmarks/search).
_ROUNDS, _AT_ONCE = 3, 4
# Samplers that learn from results.
_LEARNING = ("auto", "gp", "tpe", "nearby")
_TRAINING = re.compile(r"(^|[_\-./ ])(train|training)([_\-./ ]|$)", re.IGNORECASE)
# It may be right to tune these on the training's own figures: "train_seconds".
_COSTS = re.compile(
    r"time|second|duration|speed|throughput|memory|cost|bytes|energy", re.IGNORECASE
)


def direction(planned: Planned) -> Advice | None:
    """A metric that is usually better the other way round."""
    suspicion = planned.metric.suspicion()
    if suspicion is None:
        return None
    other = "maximize" if planned.metric.direction == "minimize" else "minimize"
    return Advice("direction", (), f"{suspicion}: direction={other!r}, unless that is meant")


def training(planned: Planned) -> Advice | None:
    """A metric of the rows that the model was fitted on."""
    name = planned.metric.name
    if not _TRAINING.search(name) or _COSTS.search(name):
        return None
    what = (
        f"{name} looks like a metric of the training rows, whose best is the most overfitted "
        "trial. Keep rows apart for validation, and tune the metric on those"
    )
    return Advice("training-metric", (), what)


def memory(planned: Planned) -> Advice | None:
    """Trials that together may take more memory than the machine has."""
    each, slots, machine = planned.trial_memory, planned.parallelism or 1, planned.machine_memory
    if each is None or machine is None or each * slots <= machine:
        return None
    fit = machine // each
    if not fit:
        what = f"a trial of up to {each / 2**30:.3g} GiB has no room on this machine, which has"
        return Advice("memory", (), f"{what} {machine / 2**30:.3g} GiB: allow each less")
    what = (
        f"{slots} trials at once of up to {each / 2**30:.3g} GiB need {each * slots / 2**30:.3g} "
        f"GiB, and the machine has {machine / 2**30:.3g} GiB: parallelism={fit} fits"
    )
    return Advice("memory", (), what)


def grid(planned: Planned) -> Advice | None:
    """A grid of more configurations than trials."""
    size, trials = planned.space.size, planned.n_trials
    if planned.sampler != "grid" or size is None or trials is None or trials >= size:
        return None
    what = (
        f"the grid has {size:,} configurations, and n_trials={trials} reaches the first "
        f"{trials / size:.0%} in order: the first params hardly vary. Use sampler='auto', or a "
        "smaller grid"
    )
    return Advice("grid", (), what)


def few(planned: Planned) -> Advice | None:
    """A budget that is spent before the sampler has learned anything."""
    trials, params = planned.n_trials, len(planned.space.params)
    first = _startup(planned)
    if trials is None or first is None or not params or trials <= _TEST:
        return None
    size = planned.space.size
    if size is not None and size <= trials:
        return None  # each configuration is tried
    if trials <= first:
        what = f"its first {first} trials are spread evenly, so n_trials={trials} learns nothing"
        return Advice("few-trials", (), f"{what}: this is random search. Use at least {3 * first}")
    if trials < _EACH_PARAM * params:
        what = f"n_trials={trials} for {params} params: few of them can be told to matter"
        return Advice("few-trials", (), f"{what}. Fix some, or use at least {5 * params} trials")
    return None


def at_once(planned: Planned) -> Advice | None:
    """So many trials at once that proposals know hardly any result."""
    trials, slots = planned.n_trials, planned.parallelism
    if trials is None or slots is None or slots < _AT_ONCE or few(planned) is not None:
        return None
    if planned.sampler not in _LEARNING or trials <= _TEST or trials >= _ROUNDS * slots:
        return None
    better, rounds = max(2, round(trials**0.5)), max(1.0, trials / slots)
    what = (
        f"parallelism={slots} is near n_trials={trials}: with {rounds:.2g} "
        f"round{'s' if rounds > 1 else ''}, most proposals know few results, nearly as in random "
        f"search. parallelism={better} finds better params in as many trials, or use at least "
        f"{_ROUNDS * slots} trials"
    )
    return Advice("parallelism", (), what)


def _startup(planned: Planned) -> int | None:
    return None if planned.sampler is None else startup(planned.sampler, planned.space)
