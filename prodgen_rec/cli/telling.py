"""Where a nightly job tells how it went, beside the terminal: a log, metrics and a page."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prodgen_rec.cli.console import INTERRUPTED, exit_code, explain
from prodgen_rec.cli.logs import logged
from prodgen_rec.cli.outputs import check_file, check_folder

if TYPE_CHECKING:
    from prodgen_rec.nightly import Account
    from prodgen_rec.nightly.settings import NightlySettings

logger = logging.getLogger(__name__)

_DEFECT = 1
"""Exit code of Python where an error is nobody's but ours."""


@dataclass(frozen=True)
class Told:
    """Files that are told of a job, each None where nobody wants it.

    Attributes
    ----------
    log
        Lines of JSON, see `logged`; they are appended.
    metrics
        For Prometheus, see `write_metrics`; also where the job fails.
    report
        Page, see `nightly_report`; also where the run is held back.
    core_hour_price
        For the page.
    """

    log: Path | None = None
    metrics: Path | None = None
    report: Path | None = None
    core_hour_price: float | None = None

    def check(self) -> None:
        """Refuse places that cannot be written, before any work.

        Raises
        ------
        InputError
            Names the option.
        """
        if self.log is not None:
            check_folder(self.log.parent, "--log")
        if self.metrics is not None:
            check_file(self.metrics, [".prom"], ".prom, which collectors look for", "--metrics")
        if self.report is not None:
            check_file(self.report, [".html"], ".html, the format of the page", "--report")

    def page(self, account: Account, settings: NightlySettings, ending: str) -> None:
        """Write the page on a run whose parts are made."""
        if self.report is None or account.counts is None:
            return
        from prodgen_rec.display import nightly_report

        nightly_report(
            self.report,
            account,
            to=settings.to,
            bundle=settings.bundle,
            ending=ending,
            core_hour_price=self.core_hour_price,
        )

    @contextmanager
    def by(self) -> Iterator[Account]:
        """Tell of the job that the block is, which fills in the account, however it ends."""
        from prodgen_rec.nightly import Account

        account = Account()
        with logged(self.log, account):
            try:
                yield account
            except BaseException as error:
                code = _code(error)
                if self.log is not None:
                    logger.error(explain(error), extra={"exit_code": code})
                with suppress(OSError):  # what ended the job is what is told
                    self._measured(account, code)
                raise
            self._measured(account, 0)

    def _measured(self, account: Account, code: int) -> None:
        if self.metrics is None:
            return
        from prodgen_rec.nightly.metrics import write_metrics

        write_metrics(self.metrics, account, exit_code=code)


def _code(error: BaseException) -> int:
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else exit_code(error) or _DEFECT
