"""Windowed features: their events, by files or by Spark, and the join that computes them for a spine."""
