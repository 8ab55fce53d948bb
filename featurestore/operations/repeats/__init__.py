"""Recognise what an earlier run of the same job has already made, and remove what a killed run left."""
