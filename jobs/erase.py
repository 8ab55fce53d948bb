"""Erase entities physically and permanently; run again after an interruption.

spark-submit --properties-file conf/spark-defaults.conf jobs/erase.py --tenant T ENTITY --keys FILE --certificate FILE
"""

import sys

from featurestore.cli import main

if __name__ == "__main__":
    main(["erase", *sys.argv[1:]])
