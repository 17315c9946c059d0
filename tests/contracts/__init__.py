"""Contract tests: the rules for every piece and every store, written once and run on all of them."""
