"""Behaviour logs: read, validated, with every refused row kept and counted.

`read_events` turns files and tables of any common kind into `Events`: the good rows in one
fixed layout, the bad ones in a quarantine table with a `Reason`, and a `ReadReport` whose
counts always add up.
"""

from prodgen_rec.events.container import Events, ReadReport
from prodgen_rec.events.reader import read_events
from prodgen_rec.events.reasons import Reason

__all__ = ["Events", "ReadReport", "Reason", "read_events"]
