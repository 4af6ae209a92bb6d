"""The search itself: a study of one recommender, trial by trial."""

from __future__ import annotations

import importlib.util
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import Progress

from prodgen_rec.columns import EVENT_WEIGHTS
from prodgen_rec.errors import ConfigError, InputError, MissingExtraError, TrainingDivergedError
from prodgen_rec.events import Events, read_events
from prodgen_rec.hashing import fingerprint
from prodgen_rec.interactions import Interactions
from prodgen_rec.preferences import ItemFeatures, Recommender
from prodgen_rec.preferences.checks import check_number, check_whole_number
from prodgen_rec.preferences.space import Choice
from prodgen_rec.tuning.candidates import AnyRecommender, Candidate, Candidates
from prodgen_rec.tuning.evidence import Evidence
from prodgen_rec.tuning.holdouts import by_chance, by_time
from prodgen_rec.tuning.trials import contents, no_news_of_optuna, stored

if TYPE_CHECKING:
    import optuna

logger = logging.getLogger(__name__)

_TRIED = "settings"
"""Under which a trial keeps what was tried: what was drawn, in the units of its evidence."""
_KEPT = 25.0
"""Percentage of the trials that go on to the next hold-out, once there were some."""


@dataclass(frozen=True)
class Tuned(Generic[AnyRecommender]):
    """What a search found.

    Attributes
    ----------
    recommender
        The best settings; not fitted.
    features
        What to fit it with besides the interactions; None if no features were given.
    weights
        What the evidence of each of the features is multiplied by, by their names.
    event_weights, half_life_days
        How events become interactions, as `build_interactions` and `PersonalizerConfig` take it;
        no weights and None if interactions were given.
    value
        Its metric on the items that were held out.
    trials
        One row per trial, in their order: its settings, an infinite half-life for no decay, and
        ``value``, the mean over all hold-outs; NaN for a trial that was given up before the last.
    """

    recommender: AnyRecommender
    features: ItemFeatures | None
    weights: dict[str, float]
    event_weights: dict[str, float]
    half_life_days: float | None
    value: float
    trials: pd.DataFrame

    def fit(self, events: Any) -> AnyRecommender:
        """Fit the best on all of the events or interactions, whichever were given."""
        evidence = Evidence(self.event_weights, self.half_life_days)
        return Candidate(self.recommender, self.features, evidence).fit(events)


def tune(
    events: Any,
    recommender: AnyRecommender,
    *,
    event_weights: Mapping[str, float] | None = None,
    half_life_days: float | None = None,
    features: Mapping[str, ItemFeatures] | None = None,
    n_trials: int = 50,
    minutes: float = math.inf,
    patience: int = 20,
    k: int = 20,
    n_holdouts: int = 3,
    seed: int = 0,
    file: Path | str | None = None,
    progress: bool = True,
) -> Tuned[AnyRecommender]:
    """Find the hyper-parameters with the best nDCG on held-out items.

    The first trial is of the settings that are given, as far as they lie in the space; what is
    found is at least as good on the hold-outs.

    Of events the newest tenth is held out, then the newest tenth of the others, and so on. A trial
    learns from what lies before, and is judged by what users who were known then went on to take:
    items of positive evidence, by the weights that are given, that they had not touched. So it can
    be told what old events are worth, and which events count.

    Of interactions a tenth of every user's items is held out, at least one and never all, drawn by
    (seed, user, item). Users with fewer than k items left to recommend are not judged; their number
    is logged.

    So small a share makes the value of one hold-out uncertain, and a larger one would find what
    suits less data than there is: therefore a trial is judged by the mean over several hold-outs,
    of which three in four trials see the first alone.

    Parameters
    ----------
    events
        Training data; what is later judged on must not be among it. With `Events`, or whatever
        `read_events` takes, the half-life and the weights of events are searched for, too;
        `Interactions` are taken as they are.
    recommender
        What is tuned; hyper-parameters that the search does not touch stay as they are here.
    event_weights, half_life_days
        With events, what the search starts from, see `build_interactions`; None for the default
        weights, and for no decay. Searched for are weights of events that occur with one above 0,
        except the largest; neither for recommenders that only ask whether evidence is positive,
        such as EASE.
    features
        Features by name; a multiple of the evidence of each is searched for.
    n_trials, minutes, patience
        The search ends after so many trials, when that time is over, or after so many trials
        without a better one. At least one trial is made, in 0 minutes, too.
    k
        Length of the lists, at most what some user has left of the catalogue.
    n_holdouts
        Hold-outs that the better trials are judged on, each with a fit of its own. On a small log
        the best of many trials on one hold-out is best by luck. There are fewer if the log is too
        short for so many by time.
    seed
        Of what is drawn for the hold-outs, and of the search.
    file
        Keeps the trials, so that the same call goes on where it was stopped; None keeps nothing.
    progress
        Show a progress bar where standard error is a terminal.

    Raises
    ------
    ConfigError
        There is nothing to tune, or a number is out of range; or weights or a half-life came with
        interactions.
    InputError
        What came is no events, recommender or features; nothing can be held out; or ``file`` holds
        something else.
    MissingExtraError
        Optuna is not installed.
    """
    check_installed()
    _check_recommender(recommender)
    counts = {"n_trials": n_trials, "patience": patience, "k": k, "n_holdouts": n_holdouts}
    for name, value in counts.items():
        check_whole_number(name, value, 1)
    check_whole_number("seed", seed, 0)
    check_number("minutes", minutes, 0)
    log, evidence = _with_evidence(events, event_weights, half_life_days)
    search = _Search(log, recommender, _checked(features), evidence, k, n_holdouts, seed)
    search.run(n_trials, minutes, patience, file, progress)
    return search.found()


def check_installed() -> None:
    """Refuse to go on without Optuna.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    if importlib.util.find_spec("optuna") is None:
        raise MissingExtraError("optuna", "tune")


def _with_evidence(
    events: Any, event_weights: Mapping[str, float] | None, half_life_days: float | None
) -> tuple[Events | Interactions, Evidence]:
    """A log, and what its events count for at the start."""
    if not isinstance(events, Interactions):
        weights = EVENT_WEIGHTS if event_weights is None else event_weights
        return read_events(events, event_weights=weights), Evidence(weights, half_life_days)
    if event_weights is not None or half_life_days is not None:
        raise ConfigError(
            "event_weights and half_life_days make interactions of events, and interactions were "
            "given; pass the events"
        )
    return events, Evidence({}, None)


def _check_recommender(recommender: object) -> None:
    if isinstance(recommender, Recommender):
        return
    if isinstance(recommender, type):
        came = f"the class {recommender.__name__}; pass {recommender.__name__}()"
    else:
        came = f"{type(recommender).__name__}; pass one such as ALS()"
    raise InputError(f"recommender: expected a recommender, got {came}")


def _checked(features: Mapping[str, ItemFeatures] | None) -> dict[str, ItemFeatures]:
    """Features by name, none for None."""
    if not isinstance(features, Mapping | None):
        raise InputError(
            "features: expected a mapping of names to ItemFeatures, got "
            f"{type(features).__name__}; pass {{'a name': features}}"
        )
    for name, one in (features or {}).items():
        if not isinstance(one, ItemFeatures):
            raise InputError(
                f"features: expected ItemFeatures for {name!r}, got {type(one).__name__}; "
                "ItemFeatures.of_columns makes them of a table"
            )
    return {str(name): one for name, one in (features or {}).items()}


class _Search(Generic[AnyRecommender]):
    """A study of one recommender."""

    def __init__(
        self,
        log: Events | Interactions,
        recommender: AnyRecommender,
        features: dict[str, ItemFeatures],
        evidence: Evidence,
        k: int,
        n_holdouts: int,
        seed: int,
    ) -> None:
        self.log, self.features, self.k, self.seed = log, features, k, seed
        of_features = [one.items for one in features.values()]
        self.holdouts = (
            by_time(log, evidence, of_features, k=k, n=n_holdouts, seed=seed)
            if isinstance(log, Events)
            else by_chance(log, of_features, k=k, n=n_holdouts, seed=seed)
        )
        self.candidates = Candidates(log, recommender, features, evidence)

    def run(
        self,
        n_trials: int,
        minutes: float,
        patience: int,
        file: Path | str | None,
        progress: bool,
    ) -> None:
        """Make trials until one of the bounds is reached."""
        import optuna

        self.study = self._study(file)
        waiting = self.study.get_trials(False, (optuna.trial.TrialState.WAITING,))
        if not self._over() and not waiting:
            self.study.enqueue_trial(self.candidates.start())
        end = time.monotonic() + 60 * minutes
        shown = progress and Console(stderr=True).is_terminal
        with Progress(console=Console(stderr=True), disable=not shown, transient=True) as bar:
            task = bar.add_task("tuning", total=n_trials)
            while not self._is_over(n_trials, patience, end):
                done = len(self._over())
                bar.update(task, completed=done, description=self._news())
                # One that depends on nothing but the trials that are over: a killed search goes on.
                self.study.sampler = optuna.samplers.TPESampler(
                    multivariate=True, constant_liar=False, seed=1000 * self.seed + done
                )
                self._try(self.study.ask())

    def found(self) -> Tuned[AnyRecommender]:
        """The best of all trials."""
        best = self.study.best_trial
        rows = [trial.user_attrs[_TRIED] | {"value": _value(trial)} for trial in self._over()]
        settings = best.user_attrs[_TRIED]
        candidate = self.candidates.of(settings)
        return Tuned(
            candidate.recommender, candidate.features, self.candidates.weights(settings),
            dict(candidate.evidence.event_weights), candidate.evidence.half_life_days,
            float(best.value or 0.0), pd.DataFrame(rows),
        )  # fmt: skip

    def _study(self, file: Path | str | None) -> optuna.Study:
        import optuna

        storage = None if file is None else stored(file)
        with no_news_of_optuna():
            return optuna.create_study(
                study_name=self._fingerprint(), storage=storage, direction="maximize",
                load_if_exists=True, pruner=optuna.pruners.PercentilePruner(_KEPT),
            )  # fmt: skip

    def _fingerprint(self) -> str:
        """Other data or another recommender in the same file are another search."""
        arrays = contents(self.log)
        for one in self.features.values():
            arrays += [one.matrix.data, one.matrix.indices, one.matrix.indptr]
        about = f"{self.candidates.name} {self.candidates.fixed()} {self.candidates.space}"
        return fingerprint(f"{about} {self.k} {self.seed} {len(self.holdouts)}", *arrays)

    def _is_over(self, n_trials: int, patience: int, end: float) -> bool:
        values = [_value(trial) for trial in self._over()]
        if not values:
            return False
        since_best = len(values) - 1 - int(np.nanargmax(values))
        return len(values) >= n_trials or since_best >= patience or time.monotonic() > end

    def _over(self) -> list[optuna.trial.FrozenTrial]:
        """Trials in their order, but for what was killed."""
        return [
            trial for trial in self.study.get_trials(deepcopy=False) if trial.state.is_finished()
        ]

    def _news(self) -> str:
        return f"best nDCG@{self.k} {self.study.best_value:.4f}" if self._over() else "tuning"

    def _drawn(self, trial: optuna.Trial) -> dict[str, Any]:
        drawn: dict[str, Any] = {}
        for name, values in self.candidates.space.items():
            if isinstance(values, Choice):
                drawn[name] = trial.suggest_categorical(name, values.values)
            elif isinstance(values.low, int) and isinstance(values.high, int):
                drawn[name] = trial.suggest_int(name, values.low, values.high, log=values.log)
            else:
                drawn[name] = trial.suggest_float(name, values.low, values.high, log=values.log)
        return drawn

    def _try(self, trial: optuna.Trial) -> None:
        """Judge a trial by its mean nDCG: 0 where the fit diverges, none if it is given up."""
        import optuna

        settings = self.candidates.settings(self._drawn(trial))
        trial.set_user_attr(_TRIED, settings)
        candidate = self.candidates.of(settings)
        values = []
        try:
            for holdout in self.holdouts:
                values.append(holdout.ndcg(candidate, self.k))
                trial.report(float(np.mean(values)), len(values))
                if len(values) < len(self.holdouts) and trial.should_prune():
                    self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                    return
        except TrainingDivergedError as error:
            logger.info("trial %s: %s", settings, error)
            values = [0.0]
        self.study.tell(trial, float(np.mean(values)))


def _value(trial: optuna.trial.FrozenTrial) -> float:
    """Mean nDCG; NaN of a trial that was given up."""
    return math.nan if trial.value is None or trial.state.name == "PRUNED" else trial.value
