"""Reads what is published, over and over, until a file ``stop`` appears; any mixture is fatal.

python tests/nightly_reader.py TARGET
"""

from __future__ import annotations

import sys
from pathlib import Path

from nightly_runs import seen

from prodgen_rec.errors import DeliveryReplacedError
from prodgen_rec.nightly import latest


def main(place: Path) -> None:
    states = {}
    while not (place / "stop").exists():
        try:
            night, holds = seen(latest(place))
        except DeliveryReplacedError:  # said, not mixed
            continue
        if not states:
            print("reading", flush=True)
        states[f"{night} {holds}"] = True
    print(", ".join(states))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
