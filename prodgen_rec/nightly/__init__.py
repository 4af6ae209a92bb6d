"""Nightly runs: written part by part, published in one step, read whole.

In the order of a run's life:

- `Target`: the place that runs are published to; `Target.writer` locks it.
- `Writer`: knows what lies there, and begins a run or goes on with it.
- `part_of`: the part of a run that a user belongs into.
- `Run`: takes its parts, and publishes it with a `Manifest`, which has the `Counts` of users.
- `PartWriter`: writes parts of a run in another process, `Run.accept` records them.
- `latest`: the published run, a `Delivery`, for readers.
- `verify`: compares all that lies there with what was written: a `Verification`.
- `rollback`: publishes an older run again.
- `forget_user`: removes a user from every kept run, and proves it: `Forgotten`.

What is promised where, see docs/decisions/22.
"""

from prodgen_rec.nightly.documents import Counts, Manifest
from prodgen_rec.nightly.forgetting import Forgotten, forget_user
from prodgen_rec.nightly.partition import part_of
from prodgen_rec.nightly.reading import Delivery, latest
from prodgen_rec.nightly.target import Target, Writer, rollback
from prodgen_rec.nightly.verification import Verification, verify
from prodgen_rec.nightly.workers import PartWriter
from prodgen_rec.nightly.writing import Run

__all__ = [
    "Counts",
    "Delivery",
    "Forgotten",
    "Manifest",
    "PartWriter",
    "Run",
    "Target",
    "Verification",
    "Writer",
    "forget_user",
    "latest",
    "part_of",
    "rollback",
    "verify",
]
