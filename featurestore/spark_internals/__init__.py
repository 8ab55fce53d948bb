"""What only the Java objects of Spark's own process can do: files of Hadoop's file systems, plans of a user's SQL."""
