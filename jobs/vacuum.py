"""Remove files that no reader needs any more from disk, in the whole store, for all tenants.

spark-submit --properties-file conf/spark-defaults.conf jobs/vacuum.py --older-than 7d
"""

import sys

from featurestore.cli import main

if __name__ == "__main__":
    main(["vacuum", *sys.argv[1:]])
