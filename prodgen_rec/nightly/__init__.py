"""Nightly runs: made by users, written part by part, published in one step, read whole.

The job, from a bundle and a log to a published run:

- `NightlySettings`: what it needs to know; a `Recipe` of how users are served, a quality `Gate`.
- `forecast`: says what a run would be: a `Forecast`.
- `run`: makes it, or goes on with it, and publishes it: an `Outcome`; an `Account` is filled in
  meanwhile, and tells what is known where it fails.

What it stands on, in the order of a run's life:

- `Target`: the place that runs are published to; `Target.writer` locks it.
- `Writer`: knows what lies there, and begins a run or goes on with it.
- `part_of`: the part of a run that a user belongs into.
- `Run`: takes its parts, and publishes it with a `Manifest`, which has the `Counts` of users.
- `PartWriter`: writes parts of a run in another process, `Run.accept` records them.
- `latest`: the published run, a `Delivery`, for readers.
- `verify`: compares all that lies there with what was written: a `Verification`.
- `rollback`: publishes an older run again.
- `publish_delta`: copies what is published to a Delta table.
- `forget_in_delta`: deletes a user there.
- `forget_user`: removes a user from every kept run, and proves it: `Forgotten`.

What is promised where, see docs/decisions/22.
"""

from typing import TYPE_CHECKING

from prodgen_rec._lazy import lazily
from prodgen_rec.nightly.delta import forget_in_delta, publish_delta
from prodgen_rec.nightly.documents import Counts, Manifest
from prodgen_rec.nightly.forgetting import Forgotten, forget_user
from prodgen_rec.nightly.partition import part_of
from prodgen_rec.nightly.reading import Delivery, latest
from prodgen_rec.nightly.target import Target, Writer, rollback
from prodgen_rec.nightly.verification import Verification, verify
from prodgen_rec.nightly.workers import PartWriter
from prodgen_rec.nightly.writing import Run

if TYPE_CHECKING:
    from prodgen_rec.nightly.account import Account
    from prodgen_rec.nightly.job import Forecast, Outcome, forecast, run
    from prodgen_rec.nightly.quality import Gate
    from prodgen_rec.nightly.recipe import Recipe
    from prodgen_rec.nightly.settings import NightlySettings

# Who reads what was published loads nothing of what makes it.
__getattr__, __dir__ = lazily(
    __name__,
    {
        "account": ["Account"],
        "job": ["Forecast", "Outcome", "forecast", "run"],
        "quality": ["Gate"],
        "recipe": ["Recipe"],
        "settings": ["NightlySettings"],
    },
)

__all__ = [
    "Account",
    "Counts",
    "Delivery",
    "Forecast",
    "Forgotten",
    "Gate",
    "Manifest",
    "NightlySettings",
    "Outcome",
    "PartWriter",
    "Recipe",
    "Run",
    "Target",
    "Verification",
    "Writer",
    "forecast",
    "forget_in_delta",
    "forget_user",
    "latest",
    "part_of",
    "publish_delta",
    "rollback",
    "run",
    "verify",
]
