"""One verb a file: decides with frames, acts with stores."""
