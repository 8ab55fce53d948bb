"""A local batch's rows as Arrow: read from Python, pandas and Arrow, and checked, without Spark.

A large batch, or one that only Spark can judge, goes on to Spark as the same Arrow table.
"""
