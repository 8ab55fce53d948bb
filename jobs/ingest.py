"""Write the rows of a file to a feature group.

spark-submit --properties-file conf/spark-defaults.conf jobs/ingest.py --tenant T GROUP FILE --batch-id B
"""

import sys

from featurestore.cli import main

if __name__ == "__main__":
    main(["ingest", *sys.argv[1:]])
