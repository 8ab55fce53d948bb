"""A training set's rows: sampled, split, encoded, profiled, compared, checked for leaks."""
