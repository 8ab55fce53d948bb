"""Build, extend, rebuild, load, compare, export and delete training sets."""
