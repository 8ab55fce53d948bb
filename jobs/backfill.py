"""Materialize the missing windows of a range of time; run again after an interruption.

spark-submit --properties-file conf/spark-defaults.conf jobs/backfill.py --tenant T GROUP --start S --end E --every 1d
"""

import sys

from featurestore.cli import main

if __name__ == "__main__":
    main(["backfill", *sys.argv[1:]])
