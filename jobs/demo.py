"""Run the demo on a year of New York flights, as `make demo` does.

spark-submit --properties-file conf/spark-defaults.conf jobs/demo.py
"""

from pathlib import Path

from rich.console import Console

from featurestore.demo.run import run_demo
from featurestore.spark_start import spark_log

if __name__ == "__main__":
    conf = Path(__file__).resolve().parents[1] / "conf"
    try:
        run_demo(conf, conf / "features", Console())
    except Exception as error:
        if log := spark_log():
            error.add_note(f"Spark's messages are in {log}")
        raise
