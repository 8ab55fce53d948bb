"""Run a group's transformation over a window of time.

spark-submit --properties-file conf/spark-defaults.conf jobs/materialize.py --tenant T GROUP --start S --end E
"""

import sys

from featurestore.cli import main

if __name__ == "__main__":
    main(["materialize", *sys.argv[1:]])
