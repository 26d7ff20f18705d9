"""Writes the page of a preset, also of your own: ``python -m airflow_provider_impactcall.records.vendors NAME``."""

from __future__ import annotations

import sys

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.records.vendors import preset
from airflow_provider_impactcall.records.vendors.page import page


def main(arguments: list[str]) -> None:
    """Write the page of a preset to standard output.

    :param arguments: the name of the preset alone
    """
    if len(arguments) != 1:
        sys.exit("usage: python -m airflow_provider_impactcall.records.vendors NAME")
    try:
        sys.stdout.write(page(preset(arguments[0])))
    except InvalidOption as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
