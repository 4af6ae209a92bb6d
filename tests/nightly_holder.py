"""Begins a run, and waits to be killed.

python tests/nightly_holder.py TARGET
"""

from __future__ import annotations

import signal
import sys

from nightly_runs import plan

from prodgen_rec.nightly import Target

if __name__ == "__main__":
    with Target(sys.argv[1]).run(**plan(26)):
        print("holding", flush=True)
        signal.pause()
