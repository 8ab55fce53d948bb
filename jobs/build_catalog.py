"""Write the catalogue's pages to a folder.

spark-submit --properties-file conf/spark-defaults.conf jobs/build_catalog.py [--tenant T] OUT
"""

import sys

from featurestore.cli import main

if __name__ == "__main__":
    main(["catalog", "build", *sys.argv[1:]])
