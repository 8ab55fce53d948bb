"""Everything with a side effect: tables, files, PostgreSQL, sessions, each behind a small interface."""
