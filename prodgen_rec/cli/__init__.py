"""The command line: ``prodgen-rec``.

Exit codes:

====  ==================================================================
0     done
1     a defect in this program
2     a wrong command, option or argument
3     refused input: a log, a catalogue, an id, a setting
4     a bundle that is missing, damaged, or of a newer version
5     the training diverged; the last good state is kept
6     something that has to be installed is not
7     a file could not be read or written, for instance on a full disk
130   interrupted or terminated; the same `fit` or `tune` goes on where it stopped
====  ==================================================================
"""

from prodgen_rec.cli.app import main

__all__ = ["main"]
