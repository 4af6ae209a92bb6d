"""Making parts on a cluster of Apache Spark: the same bytes as on one machine.

Needs the extra ``spark``, and Java on all machines.

1. Each task checks a file of the log, or some row groups of one, with the same code as on one
   machine, and gives the good rows and an account of all (`log`).
2. The rows of a part are brought together, one partition for each missing part, in the order of
   the log (`parts`).
3. A worker process opens the bundle once, serves the users of its parts and writes them. Only the
   record of a part comes back, as soon as it is written; the process with the lock keeps it.

A task that fails, or whose process or machine is gone, is done again by Spark. That is safe: what
it gives depends on its input alone. Whatever is not random in an error, such as a column that is
missing, is not tried again: it comes back as an answer. See decision 26.
"""

from prodgen_rec.nightly.spark.engine import spark_engine

__all__ = ["spark_engine"]
