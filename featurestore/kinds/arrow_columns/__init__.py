"""What kinds need of Arrow and NumPy to read whole columns without Spark: readings, numbers, times, lists."""
