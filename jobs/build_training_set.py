"""Build a new version of a training set that was applied as a definition, unless the newest is up to date.

spark-submit --properties-file conf/spark-defaults.conf jobs/build_training_set.py --tenant T NAME
"""

import sys

from featurestore.cli import main

if __name__ == "__main__":
    main(["training-set", "build", *sys.argv[1:]])
