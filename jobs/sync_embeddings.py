"""Bring vectors in PostgreSQL up to date with the table; run it as often as searches need new values.

spark-submit --properties-file conf/spark-defaults.conf jobs/sync_embeddings.py --tenant T GROUP:FEATURE
"""

import sys

from featurestore.cli import main

if __name__ == "__main__":
    main(["sync-embeddings", *sys.argv[1:]])
