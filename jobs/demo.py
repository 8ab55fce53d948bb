"""Run the demo on a year of New York flights, as `make demo` does.

spark-submit --properties-file conf/spark-defaults.conf jobs/demo.py
"""

from pathlib import Path

from rich.console import Console

from featurestore.demo.run import run_demo

if __name__ == "__main__":
    conf = Path(__file__).resolve().parents[1] / "conf"
    run_demo(conf, conf / "features", Console())
