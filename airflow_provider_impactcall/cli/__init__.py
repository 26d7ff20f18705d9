"""The ledger after the fact, as commands: ``airflow impactcall ...`` on Airflow 3.3, and ``impactcall ...``."""
