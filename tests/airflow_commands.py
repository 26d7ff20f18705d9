"""Runs Airflow's commands one after the other in one process: a process for each takes ten seconds to begin.

Each line of standard input is one command. The answer is the command's exit status.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence


def run(arguments: Sequence[str]) -> int:
    """The status of a command."""
    import airflow
    from airflow.__main__ import main

    if airflow.__version__.startswith("2."):
        # The commands that look at the schema leave Alembic's logging behind, which is silent below WARNING.
        from airflow.logging_config import configure_logging

        configure_logging()  # type: ignore[no-untyped-call]
    sys.argv = ["airflow", *arguments]
    try:
        main()  # type: ignore[no-untyped-call]
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Exception:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    for line in sys.stdin:
        wanted, environment, log = json.loads(line)
        os.environ.clear()
        os.environ.update(environment)
        with open(log, "w") as stream:
            for own in (sys.stdout, sys.stderr):
                os.dup2(stream.fileno(), own.fileno())
        status = run(wanted)
        for own in (sys.stdout, sys.stderr):
            own.flush()
        print(status, file=answers, flush=True)
