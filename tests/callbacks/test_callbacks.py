"""What the callbacks of all libraries have in common, each in a real training."""

import doctest
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle
import numpy as np
import pytest

from manyfit import callbacks

ROUNDS = 6
RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 3)).astype("float32")
Y = (X[:, 0] + 0.5 * RNG.normal(size=96) > 0).astype("float32")
TRAIN, VAL = (X[:64], Y[:64]), (X[64:], Y[64:])


class Library(NamedTuple):
    """A library: how to train with it, and what is then reported."""

    tuned: str
    names: set[str]
    make: Callable[..., Any]  # the callback, or what `train` makes its iterator of
    train: Callable[[Any, bool], int]  # with a callback; whether it stops early; returns rounds
    rounds: int = ROUNDS
    returns: bool = False  # whether a stopped training returns, instead of raising


def lightgbm(callback, early):
    import lightgbm as lgb

    stopping = [lgb.early_stopping(2, verbose=False, min_delta=1.0)] * early
    model = lgb.LGBMClassifier(n_estimators=ROUNDS, min_child_samples=5, n_jobs=1, verbosity=-1)
    model.fit(
        *TRAIN,
        eval_X=(TRAIN[0], VAL[0]),
        eval_y=(TRAIN[1], VAL[1]),
        eval_metric="auc",
        callbacks=[*stopping, callback],
    )
    return len(model.evals_result_["valid_1"]["auc"])


def xgboost(callback, early):
    import xgboost as xgb

    model = xgb.XGBClassifier(
        n_estimators=ROUNDS,
        n_jobs=1,
        eval_metric=["logloss", "auc"],
        early_stopping_rounds=2 if early else None,
        learning_rate=0.0 if early else 0.3,
        callbacks=[callback],
    )
    model.fit(*TRAIN, eval_set=[TRAIN, VAL], verbose=False)
    return len(model.evals_result()["validation_1"]["auc"])


def catboost(callback, early):
    from catboost import CatBoostClassifier

    model = CatBoostClassifier(
        iterations=ROUNDS,
        custom_metric=["AUC"],
        thread_count=1,
        verbose=False,
        allow_writing_files=False,
    )
    model.fit(
        *TRAIN,
        eval_set=[TRAIN, (VAL[0], 1 - VAL[1]) if early else VAL],
        early_stopping_rounds=2 if early else None,
        callbacks=[callback],
    )
    return len(model.evals_result_["validation_1"]["AUC"])


def keras(callback, early):
    import keras

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, "sigmoid")])
    optimizer = keras.optimizers.SGD(0.0 if early else 0.1)
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"], run_eagerly=True)
    # No epoch beats the baseline, so Keras loses its patience in the second.
    stopping = [keras.callbacks.EarlyStopping("val_loss", patience=2, baseline=-1.0)] * early
    history = model.fit(
        *TRAIN,
        validation_data=VAL,
        epochs=ROUNDS,
        batch_size=64,
        verbose=0,
        callbacks=[callback, *stopping],
    )
    return len(history.epoch)


def partial_fit(options, early):
    from sklearn.linear_model import SGDClassifier

    model = SGDClassifier(random_state=0)
    rounds = callbacks.PartialFitRounds(
        model, ROUNDS, train=TRAIN, val=VAL, scoring=["accuracy", "roc_auc"], **options
    )
    for number in rounds:
        if early and number == 3:
            break
        model.partial_fit(*TRAIN, classes=[0, 1])
    assert set(rounds.scores) == LIBRARIES["partial_fit"].names
    return int(model.t_ - 1) // len(TRAIN[0])


def sklearn(callback, early):
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1e6, tol=0.05 if early else 1e-4)
    model.set_callbacks(callback).fit(*TRAIN)
    return int(model.n_iter_[0])


def lightning(callback, early):
    import torch
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.callbacks import EarlyStopping
    from torch.utils.data import DataLoader, TensorDataset

    class Logistic(LightningModule):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(3, 1)

        def loss(self, batch):
            x, y = batch
            return torch.nn.functional.binary_cross_entropy_with_logits(self.linear(x)[:, 0], y)

        def training_step(self, batch, index):
            loss = self.loss(batch)
            self.log("train/loss", loss, on_step=False, on_epoch=True)
            return loss

        def validation_step(self, batch, index):
            self.log("val/loss", self.loss(batch))

        def on_train_epoch_end(self):
            self.log("late", float(self.current_epoch))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    train, val = (
        DataLoader(TensorDataset(*map(torch.tensor, part)), batch_size=16) for part in (TRAIN, VAL)
    )
    stopping = [EarlyStopping("val/loss", patience=2, min_delta=10.0)] * early
    trainer = Trainer(
        max_epochs=ROUNDS,
        val_check_interval=0.5,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[*stopping, callback],
    )
    trainer.fit(Logistic(), train, val)
    return trainer.current_epoch


def transformers(callback, early):
    import torch
    from transformers import EarlyStoppingCallback, Trainer, TrainingArguments

    class Logistic(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(3, 1)

        def forward(self, x, labels):
            logits = self.linear(x)[:, 0]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
            return {"loss": loss, "logits": logits}

    train, val = (
        [{"x": x, "labels": y} for x, y in zip(*part, strict=True)] for part in (TRAIN, VAL)
    )
    arguments = TrainingArguments(
        "out",
        num_train_epochs=ROUNDS,
        per_device_train_batch_size=32,
        eval_strategy="epoch",
        logging_strategy="epoch",
        save_strategy="best" if early else "no",
        metric_for_best_model="a_loss",
        learning_rate=0.0 if early else 0.1,
        use_cpu=True,
        disable_tqdm=True,
        report_to="none",
    )
    trainer = Trainer(
        Logistic(),
        arguments,
        train_dataset=train,
        eval_dataset={"a": val, "b": train},
        compute_metrics=lambda found: {"accuracy": ((found[0] > 0) == found[1]).mean()},
        callbacks=[callback, *[EarlyStoppingCallback(2)] * early],
    )
    trainer.train()
    return round(trainer.state.epoch)


LIBRARIES = {
    "lightgbm": Library(
        "valid_1_auc",
        {f"valid_{data}_{metric}" for data in (0, 1) for metric in ("auc", "binary_logloss")},
        lambda **options: callbacks.LightGBMCallback(**options),
        lightgbm,
    ),
    "xgboost": Library(
        "validation_1_auc",
        {f"validation_{data}_{metric}" for data in (0, 1) for metric in ("auc", "logloss")},
        lambda **options: callbacks.XGBoostCallback(**options),
        xgboost,
    ),
    "catboost": Library(
        "validation_1_AUC",
        {"learn_Logloss"}
        | {f"validation_{data}_{metric}" for data in (0, 1) for metric in ("AUC", "Logloss")},
        lambda **options: callbacks.CatBoostCallback(**options),
        catboost,
        returns=True,
    ),
    "partial_fit": Library(
        "val_accuracy",
        {f"{part}_{metric}" for part in ("train", "val") for metric in ("accuracy", "roc_auc")},
        dict,
        partial_fit,
    ),
    "sklearn": Library(
        "val_accuracy",
        {"train_accuracy", "val_accuracy"},
        lambda **options: callbacks.SklearnCallback(*VAL, scoring="accuracy", **options),
        sklearn,
        rounds=10,
    ),
    "keras": Library(
        "val_accuracy",
        {f"{part}{metric}" for part in ("", "val_") for metric in ("loss", "accuracy")},
        lambda **options: callbacks.KerasCallback(**options),
        keras,
    ),
    "lightning": Library(
        "val_loss",
        {"train_loss", "val_loss", "late"},
        lambda **options: callbacks.LightningCallback(**options),
        lightning,
    ),
    "transformers": Library(
        "eval_a_accuracy",
        {"loss", "grad_norm", "learning_rate", "epoch"}
        | {f"eval_{data}_{metric}" for data in "ab" for metric in ("accuracy", "loss")}
        | {
            f"eval_{data}_{speed}"
            for data in "ab"
            for speed in ("runtime", "samples_per_second", "steps_per_second")
        },
        lambda **options: callbacks.TransformersCallback(**options),
        transformers,
    ),
}

# Frameworks that have threads for good, after which nobody may fork, run in a process of their own.
ALONE = {"keras", "lightning", "transformers"}
FRAMEWORK = os.environ.get("MANYFIT_TEST_FRAMEWORK")
PART = {FRAMEWORK} if FRAMEWORK else LIBRARIES.keys() - ALONE


PYTEST = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-W", "ignore"]


@pytest.fixture(params=[name for name in LIBRARIES if name in PART])
def library(request):
    return LIBRARIES[request.param]


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path, monkeypatch):
    """Trainers of Transformers make folders."""
    monkeypatch.chdir(tmp_path)


def test_every_round_is_reported_once_with_all_metrics(library, run_trial):
    """Under the library's names, which the objective may return too."""
    trial = run_trial(lambda: {library.tuned: library.train(library.make(), False)}, library.tuned)

    assert trial.how == "AttemptFinished", trial.ending
    assert len(trial.steps) == trial.ending.metrics[library.tuned] >= ROUNDS
    assert trial.steps == list(range(trial.steps[0], trial.steps[0] + len(trial.steps)))
    assert [set(metrics) for _, metrics in trial.reports] == [library.names] * len(trial.steps)


def test_a_metric_that_is_not_computed_is_refused_at_once(library, run_trial):
    """After the first round, with the names of those that are."""
    trial = run_trial(lambda: library.train(library.make(), False), "nope")

    assert (trial.how, trial.reports) == ("AttemptFailed", [])
    assert "can't find 'nope'" in trial.ending.reason
    assert library.tuned in trial.ending.traceback
    assert "During handling" not in trial.ending.traceback


def test_a_pruned_trial_ends_its_training(library, run_trial):
    """In the round after which it was told to stop."""
    came_back = []
    trial = run_trial(
        lambda: came_back.append(library.train(library.make(), False)), library.tuned, stop_after=3
    )

    assert (trial.how, trial.ending.reason) == ("AttemptPruned", "hopeless")
    assert len(trial.reports) == 3
    assert came_back == [3] * library.returns


def test_early_stopping_ends_a_training_as_ever(library, run_trial):
    """The library's own: the trial is complete, and its last round was reported."""
    trial = run_trial(lambda: {library.tuned: library.train(library.make(), True)}, library.tuned)

    assert trial.how == "AttemptFinished", trial.ending
    assert len(trial.steps) == trial.ending.metrics[library.tuned] < library.rounds


def test_a_second_training_in_a_trial_is_refused(library, run_trial):
    """It says what to do; with `first_step`, it continues."""
    seen = []

    def twice(**options):
        library.train(library.make(), False)
        seen.append(1)
        library.train(library.make(**options), False)
        return 0.0

    refused = run_trial(twice, library.tuned)
    last = refused.steps[-1]
    assert refused.how == "AttemptFailed"
    assert f"first_step={last + 1}" in refused.ending.traceback
    assert seen == [1]

    continued = run_trial(lambda: twice(first_step=last + 1), library.tuned)
    assert continued.how != "AttemptPruned"
    assert continued.steps[: len(refused.steps)] == refused.steps
    assert len(continued.steps) == 2 * len(refused.steps)


def test_outside_of_a_trial_nothing_happens(library):
    """The training is the same, even if its callback has come out of a pickle."""
    callback = cloudpickle.loads(cloudpickle.dumps(library.make()))

    assert library.train(callback, False) >= ROUNDS


@pytest.mark.parametrize("first_step", [-1, 1.5, "0"])
def test_a_first_step_is_a_whole_number(library, first_step, run_trial):
    """Anything else is refused before a round is trained."""
    trial = run_trial(lambda: library.train(library.make(first_step=first_step), False), "loss")

    assert (trial.how, trial.ending.error) == ("AttemptFailed", "ArgumentError")
    assert "first_step must be a whole number" in trial.ending.reason


WORDS = tuple(part.replace("_", "") for part in PART)
EXAMPLES = [name for name in callbacks.__all__ if name.lower().startswith(WORDS)]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_short_and_runs(name):
    """It has at most 15 lines, which train a model."""
    example = doctest.DocTestFinder(recurse=False).find(getattr(callbacks, name), globs={})[0]
    code = "".join(each.source for each in example.examples)
    exec(code, {})

    assert re.search(r"^[^ ].*\btrain\(", code, re.MULTILINE)
    assert len(code.splitlines()) <= 15


@pytest.mark.skipif(FRAMEWORK is not None, reason="this is what it started")
@pytest.mark.parametrize(
    ("framework", "backend"),
    [
        pytest.param("keras", "jax", marks=pytest.mark.soak("contracts")),
        pytest.param("keras", "tensorflow", marks=pytest.mark.soak("tensorflow")),
        pytest.param("keras", "torch", marks=pytest.mark.soak("torch")),
        pytest.param("lightning", "torch", marks=pytest.mark.soak("torch")),
        pytest.param("transformers", "torch", marks=pytest.mark.soak("torch")),
    ],
)
def test_frameworks(framework, backend, tmp_path):
    """All of this holds for Keras on each backend, Lightning and Transformers."""
    if not all(map(importlib.util.find_spec, (framework, backend))):
        pytest.skip(f"there is no {framework} with {backend} here")
    done = subprocess.run(
        [*PYTEST, __file__, Path(__file__).with_name(f"test_{framework}.py")],
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            "MANYFIT_TEST_FRAMEWORK": framework,
            "TORCHINDUCTOR_CACHE_DIR": str(tmp_path),
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
