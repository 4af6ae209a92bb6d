"""Search for the hyper-parameters of a recommender, by what users of the log went on to take.

The search sees training data alone: it holds out a share of it and fits on the rest, several
times over. Of a log that is what came last, so that the half-life and the weights of events can be
judged; of interactions, pairs by chance. It is that of Optuna, by tree-structured Parzen estimators
(Bergstra et al., NeurIPS 2011); a trial that does badly on the first hold-outs is spared the
others. A trial follows from the seed and the trials before it, so that a search that was killed
goes on where it stopped.
"""

from prodgen_rec.tuning.search import Tuned, check_installed, tune

__all__ = ["Tuned", "check_installed", "tune"]
