"""Compare the distributions of a group's features in two periods; exit code 22 on drift.

spark-submit --properties-file conf/spark-defaults.conf jobs/drift.py --tenant T GROUP --report FILE
"""

import sys

from featurestore.cli import main

if __name__ == "__main__":
    main(["drift", *sys.argv[1:]])
