"""Compute the statistics of every feature and date whose rows changed.

spark-submit --properties-file conf/spark-defaults.conf jobs/profile_features.py --tenant T [GROUP...]
"""

import sys

from featurestore.cli import main

if __name__ == "__main__":
    main(["profile", *sys.argv[1:]])
