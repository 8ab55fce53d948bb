"""The demo: the year's New York flights, through the public API alone."""
