"""Apply definitions.

spark-submit --properties-file conf/spark-defaults.conf jobs/apply.py --conf conf conf/features
"""

import sys

from featurestore.cli import main

if __name__ == "__main__":
    main(["apply", *sys.argv[1:]])
