"""A nightly run for Airflow: the same command as anybody's, and a look at what it has published."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow import DAG
from airflow.operators.bash import BashOperator

with DAG(
    "prodgen_rec_nightly",
    schedule="30 1 * * *",
    start_date=datetime(2026, 11, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
) as dag:
    # Airflow's date is part of the command: a task that is cleared and run again goes on with its
    # own night, and changes nothing where that is published.
    make = BashOperator(
        task_id="make",
        cwd="/srv/shop",
        bash_command="prodgen-rec nightly --config nightly.toml --date {{ ds }}"
        " --log nightly.log --metrics metrics/prodgen_rec.prom --report report.html --quiet",
        # Nobody is due: skipped, not failed.
        skip_on_exit_code=8,
        # SIGTERM at the end of this time; the next try goes on from the last finished part.
        execution_timeout=timedelta(hours=6),
    )
    verify = BashOperator(
        task_id="verify",
        cwd="/srv/shop",
        bash_command="prodgen-rec delivery verify pictures",
    )
    make >> verify
