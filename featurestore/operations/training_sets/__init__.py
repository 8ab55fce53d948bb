"""Build, extend, rebuild, export and delete training sets."""
