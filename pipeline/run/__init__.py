"""One run of a job on Ray: scheduler, workers, ledger, supervisor."""
