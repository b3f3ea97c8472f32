"""Shows what the ledger knows."""
