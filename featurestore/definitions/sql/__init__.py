"""What a user's SQL may say, and the checked text that runs in its place.

``text`` removes comments and hints and reads quoted texts as Spark does, ``dialect`` reads the rest into a tree and
writes a tree as text, ``functions`` and ``constructs`` list what is allowed, ``place`` finds where in the user's text
something is.
"""
