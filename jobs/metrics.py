"""Write metrics of the tenant's jobs and groups to a file in Prometheus text format.

spark-submit --properties-file conf/spark-defaults.conf jobs/metrics.py --tenant T FILE.prom
"""

import sys

from featurestore.cli import main

if __name__ == "__main__":
    main(["metrics", *sys.argv[1:]])
