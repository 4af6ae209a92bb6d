"""The search itself: a study of one recommender, trial by trial."""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import Progress

from prodgen_rec.errors import ConfigError, InputError, MissingExtraError, TrainingDivergedError
from prodgen_rec.evaluation.ranking import evaluate_ranking
from prodgen_rec.hashing import fingerprint
from prodgen_rec.interactions import Interactions
from prodgen_rec.preferences import ItemFeatures, Recommender
from prodgen_rec.preferences.base import check_input
from prodgen_rec.preferences.checks import check_number, check_whole_number
from prodgen_rec.preferences.space import Choice, Range
from prodgen_rec.tuning.holdouts import HoldOut, numbers_held_out
from prodgen_rec.tuning.trials import no_news_of_optuna, stored

if TYPE_CHECKING:
    import optuna

AnyRecommender = TypeVar("AnyRecommender", bound=Recommender)

logger = logging.getLogger(__name__)

_APART = 1_000_003
"""Between the seeds of one search's hold-outs, so that searches by near seeds share none."""
_KEPT = 25.0
"""Percentage of the trials that go on to the next hold-out, once there were some."""
_WEIGHTS = Range(0.05, 50.0)
"""Multiples of the evidence of features."""
_WEIGHT = "weight of "


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
    value
        Its metric on the items that were held out.
    trials
        One row per trial, in their order: its settings and ``value``, the mean over all hold-outs;
        NaN for a trial that was given up before the last.
    """

    recommender: AnyRecommender
    features: ItemFeatures | None
    weights: dict[str, float]
    value: float
    trials: pd.DataFrame

    def fit(self, interactions: Interactions) -> AnyRecommender:
        """Fit the best on all of the interactions."""
        return self.recommender.fit(interactions, self.features)


def tune(
    interactions: Interactions,
    recommender: AnyRecommender,
    *,
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

    Of every user a tenth of the items is held out, at least one and never all, drawn by
    (seed, user, item); but nothing of users with fewer than k items left to recommend, whose number
    is logged. So small a share makes the value of one hold-out uncertain, and a larger
    one would find what suits less data than there is: therefore a trial is judged by the mean over
    several hold-outs, of which three in four trials see the first alone.

    Parameters
    ----------
    interactions
        Training data; what they are later judged on must not be among it.
    recommender
        What is tuned; hyper-parameters that the search does not touch stay as they are here.
    features
        Features by name; a multiple of the evidence of each is searched for.
    n_trials, minutes, patience
        The search ends after so many trials, when that time is over, or after so many trials
        without a better one. At least one trial is made, in 0 minutes, too.
    k
        Length of the lists, at most what some user has left of the catalogue.
    n_holdouts
        Hold-outs that the better trials are judged on, each with a fit of its own. On a small log
        the best of many trials on one hold-out is best by luck.
    seed
        Of the hold-out and of the search.
    file
        Keeps the trials, so that the same call goes on where it was stopped; None keeps nothing.
    progress
        Show a progress bar where standard error is a terminal.

    Raises
    ------
    ConfigError
        There is nothing to tune, or a number is out of range.
    InputError
        What came is no interactions, recommender or features; no user has two items; or ``file``
        holds something else.
    MissingExtraError
        Optuna is not installed.
    """
    check_installed()
    check_input(interactions, None)
    _check_recommender(recommender)
    counts = {"n_trials": n_trials, "patience": patience, "k": k, "n_holdouts": n_holdouts}
    for name, value in counts.items():
        check_whole_number(name, value, 1)
    check_whole_number("seed", seed, 0)
    check_number("minutes", minutes, 0)
    search = _Search(interactions, recommender, _checked(features), k, n_holdouts, seed)
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
        interactions: Interactions,
        recommender: AnyRecommender,
        features: dict[str, ItemFeatures],
        k: int,
        n_holdouts: int,
        seed: int,
    ) -> None:
        self.recommender, self.features, self.k, self.seed = recommender, features, k, seed
        every = interactions.items.union(*(one.items for one in features.values()), what="item")
        n_out = numbers_held_out(interactions, len(every), k)
        self.space = dict(recommender.search_space(interactions.matrix))
        if not self.space:
            raise ConfigError(f"a {type(recommender).__name__} has nothing to tune")
        self.space |= {_WEIGHT + name: _WEIGHTS for name in features}
        seeds = [seed + _APART * i for i in range(n_holdouts)]
        self.holdouts = [HoldOut.of(interactions, n_out, one) for one in seeds]

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
            self.study.enqueue_trial(self._start())
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

    def _start(self) -> dict[str, Any]:
        """The settings that the search was given, as far as they lie in the space."""
        given = dataclasses.asdict(self.recommender)  # type: ignore[call-overload]
        given |= {_WEIGHT + name: 1.0 for name in self.features}
        return {name: given[name] for name, values in self.space.items() if given[name] in values}

    def found(self) -> Tuned[AnyRecommender]:
        """The best of all trials."""
        best = self.study.best_trial
        rows = [trial.params | {"value": _value(trial)} for trial in self._over()]
        recommender, features = self._made(best.params)
        weights = {name: float(best.params[_WEIGHT + name]) for name in self.features}
        return Tuned(recommender, features, weights, float(best.value or 0.0), pd.DataFrame(rows))

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
        matrices = [one.training.matrix for one in self.holdouts]
        matrices += [one.matrix for one in self.features.values()]
        arrays = [part for m in matrices for part in (m.data, m.indices, m.indptr)]
        about = f"{type(self.recommender).__name__} {self._fixed()} {self.k} {self.seed}"
        return fingerprint(about, repr(self.space), *arrays)

    def _fixed(self) -> dict[str, Any]:
        """Hyper-parameters that the search does not touch."""
        every = dataclasses.asdict(self.recommender)  # type: ignore[call-overload]
        return {name: value for name, value in every.items() if name not in self.space}

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

    def _settings(self, trial: optuna.Trial) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        for name, values in self.space.items():
            if isinstance(values, Choice):
                settings[name] = trial.suggest_categorical(name, values.values)
            elif isinstance(values.low, int) and isinstance(values.high, int):
                settings[name] = trial.suggest_int(name, values.low, values.high, log=values.log)
            else:
                settings[name] = trial.suggest_float(name, values.low, values.high, log=values.log)
        return settings

    def _made(self, settings: Mapping[str, Any]) -> tuple[AnyRecommender, ItemFeatures | None]:
        of_model = {k: v for k, v in settings.items() if not k.startswith(_WEIGHT)}
        features = None
        for name, one in self.features.items():
            weighted = one.times(settings[_WEIGHT + name])
            features = weighted if features is None else features.and_also(weighted)
        return dataclasses.replace(self.recommender, **of_model), features  # type: ignore[type-var]

    def _try(self, trial: optuna.Trial) -> None:
        """Judge a trial by its mean nDCG: 0 where the fit diverges, none if it is given up."""
        import optuna

        settings = self._settings(trial)
        recommender, features = self._made(settings)
        values = []
        try:
            for holdout in self.holdouts:
                values.append(self._judged(recommender, features, holdout))
                trial.report(float(np.mean(values)), len(values))
                if len(values) < len(self.holdouts) and trial.should_prune():
                    self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                    return
        except TrainingDivergedError as error:
            logger.info("trial %s: %s", settings, error)
            values = [0.0]
        self.study.tell(trial, float(np.mean(values)))

    def _judged(
        self, recommender: AnyRecommender, features: ItemFeatures | None, holdout: HoldOut
    ) -> float:
        lists = recommender.fit(holdout.training, features).recommend(holdout.users, self.k)
        report = evaluate_ranking(lists, holdout.pairs, k=self.k, n_boot=1)
        return report.intervals[f"ndcg@{self.k}"].value


def _value(trial: optuna.trial.FrozenTrial) -> float:
    """Mean nDCG; NaN of a trial that was given up."""
    return math.nan if trial.value is None or trial.state.name == "PRUNED" else trial.value
