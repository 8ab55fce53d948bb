"""The store's own small tables: registry, run ledger, erasures, exports, statistics, suppression."""
