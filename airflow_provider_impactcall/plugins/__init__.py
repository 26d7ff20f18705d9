"""The page in Airflow 3: what of the ledger people look at most, read-only."""
