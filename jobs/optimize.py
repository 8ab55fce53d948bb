"""Rewrite partitions of many small files as few, sorted ones.

spark-submit --properties-file conf/spark-defaults.conf jobs/optimize.py --tenant T [GROUP...]
"""

import sys

from featurestore.cli import main

if __name__ == "__main__":
    main(["optimize", *sys.argv[1:]])
