"""The contract of recommenders: all of the library's keep it, and every planted bug is caught."""

import unicodedata

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from prodgen_rec import preferences
from prodgen_rec.errors import InputError, NotFittedError, UnknownIdError
from prodgen_rec.preferences import (
    ALS,
    BPR,
    EASE,
    GraphFilter,
    ItemKNN,
    ItemRecommender,
    Popularity,
    Recommender,
    VectorRecommender,
)
from prodgen_rec.testing import check_recommender

SETTINGS = {
    ALS: {"factors": 8, "regularization": 0.1, "iterations": 10},
    BPR: {"factors": 8, "iterations": 50},
    GraphFilter: {"factors": 8},
    Popularity: {},
    EASE: {"regularization": 1.0},
    ItemKNN: {"neighbors": 10},
}
OTHERS = [
    (ALS, {"factors": 8, "regularization": 0.1, "alpha": 2.0}),
    (GraphFilter, {"factors": 8, "smoothing": 0.0}),
    (Popularity, {"full_evidence": 2.0}),
    (ItemKNN, {"neighbors": 10, "weighting": "tf-idf"}),
    (ItemKNN, {"neighbors": 10, "weighting": "bm25"}),
]


def check(kind, settings):
    check_recommender(lambda: kind(**settings), personalized=not issubclass(kind, Popularity))


@pytest.mark.parametrize(("kind", "settings"), [*SETTINGS.items(), *OTHERS])
def test_the_contract_is_kept(kind, settings):
    check(kind, settings)


def test_no_recommender_is_left_out():
    public = [getattr(preferences, name) for name in preferences.__all__]
    kinds = [kind for kind in public if isinstance(kind, type) and issubclass(kind, Recommender)]
    assert {kind for kind in kinds if not kind.__abstractmethods__} == set(SETTINGS)


# Each of these breaks one promise. They are mixed into every recommender that makes it.


class AnswersBeforeTheFit:
    def recommend(self, users, n, **options):
        try:
            return super().recommend(users, n, **options)
        except NotFittedError:
            return pd.DataFrame()


class LearnsFromNothing:
    def fit(self, interactions, features=None):
        try:
            return super().fit(interactions, features)
        except InputError:
            return self


class NothingKnownNothingScored:
    def recommend(self, users, n, **options):
        best = super().recommend(users, n, **options)
        record = options.get("history") or self.interactions_
        liked = record.users.take(np.flatnonzero((record.matrix > 0).sum(axis=1)))
        return best.assign(score=best["score"].where(best["user_id"].isin(liked)))


class OneSeenItemSlipsThrough:
    def recommend(self, users, n, *, exclude_seen=True, **options):
        if not exclude_seen or options.get("history") is not None:
            return super().recommend(users, n, exclude_seen=exclude_seen, **options)
        record = self._fitted().interactions_
        start, end = record.matrix.indptr[:-1], record.matrix.indptr[1:]
        seen = {
            user: record.items.take(record.matrix.indices[low : max(low, high - 1)])
            for user, low, high in zip(record.users.ids, start, end, strict=True)
        }
        return super().recommend(users, n, exclude_seen=False, blocked=seen)


class Pads:
    def recommend(self, users, n, **options):
        try:
            return super().recommend(users, n, **options)
        except InputError:
            if not isinstance(n, int) or n < 2 or n > len(self.items_):
                raise
            shorter = self.recommend(users, n - 1, **options)
            return pd.concat([shorter, shorter.tail(1)], ignore_index=True)


class WorstFirst:
    def recommend(self, users, n, **options):
        best = super().recommend(users, n, **options)
        turned = best.groupby("user_id", sort=False, group_keys=False)["item_id"]
        whole = n == len(self.items_)
        turn = turned.transform(lambda items: items.to_numpy()[::-1])
        return best if whole else best.assign(item_id=turn)


class TiesByTheLastItem:
    def recommend(self, users, n, **options):
        best = super().recommend(users, n, **options)
        user = np.arange(len(best)) // n
        order = np.lexsort((-best["rank"], -best["score"], user))
        return best.assign(item_id=best["item_id"].to_numpy()[order])


class SortsUsers:
    def recommend(self, users, n, **options):
        return super().recommend(None if users is None else sorted(users), n, **options)


class OneUserAloneIsServedOtherwise:
    def recommend(self, users, n, **options):
        best = super().recommend(users, n, **options)
        if len(best) == n > 1 and options.get("history") is None:
            best["item_id"] = best["item_id"].to_numpy()[[1, 0, *range(2, n)]]
        return best


class IgnoresWhatIsBlocked:
    def recommend(self, users, n, *, blocked=None, **options):
        blocked = blocked if isinstance(blocked, dict) else None
        return super().recommend(users, n, blocked=blocked, **options)


class IgnoresWhatIsBlockedForAUser:
    def recommend(self, users, n, *, blocked=None, **options):
        blocked = None if isinstance(blocked, dict) else blocked
        return super().recommend(users, n, blocked=blocked, **options)


class IgnoresCandidates:
    def recommend(self, users, n, *, candidates=None, **options):
        return super().recommend(users, n, **options)


class MakesIdsOfOneForm:
    def recommend(self, users, n, **options):
        best = super().recommend(users, n, **options)
        for name in ("user_id", "item_id"):
            if not pd.api.types.is_integer_dtype(best[name]):
                best[name] = [unicodedata.normalize("NFC", one) for one in best[name]]
        return best


class TurnsIdsIntoText:
    def recommend(self, users, n, **options):
        return super().recommend(users, n, **options).astype({"user_id": str, "item_id": str})


class ScoresInDoublePrecision:
    def recommend(self, users, n, **options):
        return super().recommend(users, n, **options).astype({"score": np.float64})


class RanksOfAnotherType:
    def recommend(self, users, n, **options):
        return super().recommend(users, n, **options).astype({"rank": np.int64})


class NewHistoriesAreServedOtherwise:
    def recommend(self, users, n, *, history=None, **options):
        best = super().recommend(users, n, history=history, **options)
        turned = best["item_id"].to_numpy()[::-1]
        return best if history is None or n == len(self.items_) else best.assign(item_id=turned)


class KnowsEveryone:
    def recommend(self, users, n, **options):
        try:
            return super().recommend(users, n, **options)
        except UnknownIdError:
            return super().recommend(None, n, **options)


class ForgetsOnDisk:
    def _arrays(self):
        arrays = super()._arrays()
        name = "weights" if "weights" in arrays else "item_vectors"
        return arrays | {name: arrays[name][::-1]}


class ForgetsSettings:
    def save(self, folder):
        name = next(iter(SETTINGS[type(self).__mro__[2]]), "full_evidence")
        before = getattr(self, name)
        setattr(self, name, 7)
        super().save(folder)
        setattr(self, name, before)


ANYWHERE = {
    AnswersBeforeTheFit: "expected NotFittedError",
    LearnsFromNothing: "mentioning 'positive evidence', but nothing was raised",
    NothingKnownNothingScored: "a score is not finite",
    MakesIdsOfOneForm: "must hold exactly 5 rows per user",
    OneSeenItemSlipsThrough: "not the best ones of unseen items",
    Pads: "expected InputError",
    WorstFirst: "not those with the best scores",
    TiesByTheLastItem: "equal scores are not in the order of their ids",
    SortsUsers: "order in which users were asked for",
    OneUserAloneIsServedOtherwise: "asked for together and one by one",
    IgnoresWhatIsBlocked: "a blocked item was recommended",
    IgnoresWhatIsBlockedForAUser: "an item blocked for a user was recommended",
    IgnoresCandidates: "outside the candidates",
    TurnsIdsIntoText: "must hold exactly 5 rows per user",
    ScoresInDoublePrecision: "score is float64, not float32",
    RanksOfAnotherType: "rank is int64, not int32",
    NewHistoriesAreServedOtherwise: "the history of a known one gets another list",
    KnowsEveryone: "expected UnknownIdError",
    ForgetsOnDisk: "after save and load",
    ForgetsSettings: "hyper-parameters .* came back as",
}


class NeverGivesSeenItems:
    def recommend(self, users, n, *, exclude_seen=True, **options):
        best = super().recommend(users, n, exclude_seen=exclude_seen, **options)
        return best if exclude_seen else best[best["rank"] > 1]


class FoldsInTwice:
    def fold_in(self, history):
        return 2 * super().fold_in(history)


class FoldsInRelativeToTheBatch:
    def _vectors_of(self, histories):
        vectors = super()._vectors_of(histories)
        return vectors * np.float32(1 + histories.shape[0])


class VectorsInDoublePrecision:
    def _vectors_of(self, histories):
        return super()._vectors_of(histories).astype(np.float64)


class FoldsInInDoublePrecision:
    def fold_in(self, history):
        return super().fold_in(history).astype(np.float64)


class LearnsVectorsAnywhere:
    n_fits = 0

    def _learn_items(self, evidence, features):
        LearnsVectorsAnywhere.n_fits += 1
        scale = np.float32(1 + LearnsVectorsAnywhere.n_fits / 1000)
        return super()._learn_items(evidence, features) * scale


WITH_VECTORS = {
    NeverGivesSeenItems: "exclude_seen=False still left out",
    FoldsInTwice: "does not give the fitted vectors",
    FoldsInRelativeToTheBatch: "depends on who else is folded in",
    VectorsInDoublePrecision: "user_vectors_ is float64, not float32",
    FoldsInInDoublePrecision: "fold_in gives float64, not float32",
    LearnsVectorsAnywhere: "learn something different",
}


class LearnsWeightsAnywhere:
    n_fits = 0

    def _weights_between(self, rows):
        LearnsWeightsAnywhere.n_fits += 1
        scale = np.float32(1 + LearnsWeightsAnywhere.n_fits / 1000)
        return super()._weights_between(rows) * scale


class ScoresByTheItemItself:
    def _weights_between(self, rows):
        return csr_array(np.eye(rows.shape[1], dtype=np.float32))


class DependsOnTheBatch:
    def _best(self, rows, histories, n, filters):
        index, score = super()._best(rows, histories, n, filters)
        return index, score + len(index)


WITH_WEIGHTS = {
    LearnsWeightsAnywhere: "learn something different",
    ScoresByTheItemItself: "on a checkerboard",
    DependsOnTheBatch: "asked for together and one by one",
}


class ExplainsByEvidence:
    def _parts(self, history, item):
        return history.data.astype(float)


class ExplainsByWhatIsLikedAlone:
    def explain(self, user, item, **options):
        parts = super().explain(user, item, **options)
        return parts[parts["value"] > 0]


PERSONAL = {
    ExplainsByEvidence: "parts of a score sum to",
    ExplainsByWhatIsLikedAlone: "one row for each item",
}


def bugs():
    """Every recommender with every bug that it can have."""
    for kind in SETTINGS:
        can_have = dict(ANYWHERE)
        can_have |= WITH_VECTORS if issubclass(kind, VectorRecommender) else {}
        can_have |= WITH_WEIGHTS if issubclass(kind, ItemRecommender) else {}
        can_have |= PERSONAL if kind is not Popularity else {}
        for bug, finding in can_have.items():
            yield pytest.param(kind, bug, finding, id=f"{kind.__name__}-{bug.__name__}")


@pytest.mark.parametrize(("kind", "bug", "finding"), list(bugs()))
def test_the_bug_is_caught(kind, bug, finding):
    broken = type(bug.__name__ + kind.__name__, (bug, kind), {})
    with pytest.raises(AssertionError, match=finding):
        check(broken, SETTINGS[kind])


def test_one_list_for_all_is_caught():
    with pytest.raises(AssertionError, match="on a checkerboard"):
        check_recommender(Popularity)
