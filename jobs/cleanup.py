"""Delete rows that are older than their group's retention.

spark-submit --properties-file conf/spark-defaults.conf jobs/cleanup.py --tenant T [GROUP...]
"""

import sys

from featurestore.cli import main

if __name__ == "__main__":
    main(["cleanup", *sys.argv[1:]])
