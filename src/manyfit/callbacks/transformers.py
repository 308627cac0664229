"""Reports evaluations of Hugging Face's `transformers.Trainer`."""

from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback

from manyfit.callbacks.rounds import Rounds
from manyfit.worker.context import raise_if_stopped


class TransformersCallback(TrainerCallback):  # type: ignore[misc] # it has no types
    """Reports each evaluation of `Trainer.train` under the trainer's names, such as `eval_loss`.

    A report also has what was logged last, such as `loss`; evaluations of several data sets at the
    same step make one report. The step is the epoch if `eval_strategy` is `"epoch"`, and otherwise
    the `global_step`. A trainer without evaluations reports what it logs. A trial that is pruned
    sets `should_training_stop`, as `EarlyStoppingCallback` does, and `train` then raises
    `TrialStopped`. Outside of a trial, nothing happens.

    Args:
        first_step: Added to each step. With `resume_from_checkpoint`, the trainer counts on.

    Raises:
        ArgumentError: `first_step` isn't a whole number of at least 0.
        MetricError: In `train`, after the first evaluation: it lacks the tuned metric, or the step
            was reported before.

    Example:
        >>> from transformers import BertConfig, BertForSequenceClassification
        >>> from transformers import Trainer, TrainingArguments
        >>> from manyfit.callbacks import TransformersCallback
        >>> rows = [{"input_ids": [n % 7, n % 2], "labels": n % 2} for n in range(32)]
        >>> config = BertConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1,
        ...                     num_attention_heads=1)
        >>> def train(params):
        ...     arguments = TrainingArguments("out", eval_strategy="epoch", save_strategy="no",
        ...                                   report_to="none", **params)
        ...     trainer = Trainer(BertForSequenceClassification(config), arguments,
        ...                       train_dataset=rows, eval_dataset=rows,
        ...                       callbacks=[TransformersCallback()])
        ...     trainer.train()
        ...     return trainer.evaluate()  # with eval_loss
        >>> metrics = train({"learning_rate": 0.01})  # doctest: +SKIP
    """

    def __init__(self, *, first_step: int = 0) -> None:
        self._training = self._stops = False
        self._step: int | None = None  # of the round that isn't reported yet
        self._metrics: dict[str, Any] = {}
        self._rounds = Rounds(
            "TransformersCallback",
            "give the trainer an eval_dataset, an eval_strategy and compute_metrics",
            first_step,
        )

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin anew."""
        self._training, self._stops = True, False
        self._step, self._metrics = None, {}

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any
    ) -> None:
        """Keep what was logged; it is a round if there are no evaluations."""
        if self._training and "train_runtime" not in (logs or {}):  # which is the last, a summary
            self._keep(logs, args.logging_strategy, state, ends_round=args.eval_strategy == "no")

    def on_evaluate(
        self,
        args: Any,
        state: Any,
        control: Any,
        metrics: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Keep the metrics; the next hook of the training knows that they are complete."""
        if self._training:
            self._keep(metrics, args.eval_strategy, state, ends_round=True)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Report the evaluations before the step."""
        self._report(control)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Spare a stopped trial further evaluations."""
        if self._stops:
            control.should_evaluate = control.should_save = control.should_log = False

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Report the evaluations before the end of the epoch."""
        self._report(control)
        self.on_step_end(args, state, control)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Report the last evaluations, and end the trial if it was told to stop."""
        self._report(control)
        self._training = False
        raise_if_stopped()

    def _keep(
        self, metrics: Mapping[str, Any] | None, strategy: str, state: Any, *, ends_round: bool
    ) -> None:
        self._metrics |= metrics or {}
        if ends_round:
            by_epoch = strategy == "epoch" and state.epoch is not None
            self._step = round(state.epoch) if by_epoch else state.global_step

    def _report(self, control: Any) -> None:
        """Report the round, if there is one, and have the trainer stop if the trial must end."""
        step, self._step = self._step, None
        if step is not None and self._rounds.stops(step, self._metrics.items()):
            self._stops = control.should_training_stop = True
