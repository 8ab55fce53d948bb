"""Build, extend, rebuild and delete training sets."""
