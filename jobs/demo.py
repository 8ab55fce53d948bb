"""Run the demo on a year of New York flights, as `make demo` does.

If MLFLOW_TRACKING_URI is set, a run of MLflow there records the training set and the scores.

spark-submit --properties-file conf/spark-defaults.conf jobs/demo.py
"""

import os
from pathlib import Path

from rich.console import Console

from featurestore.demo.run import run_demo
from featurestore.spark_start import spark_log

if __name__ == "__main__":
    conf = Path(__file__).resolve().parents[1] / "conf"
    try:
        run_demo(conf, conf / "features", Console(), tracking_uri=os.environ.get("MLFLOW_TRACKING_URI"))
    except Exception as error:
        if log := spark_log():
            error.add_note(f"Spark's messages are in {log}")
        raise
