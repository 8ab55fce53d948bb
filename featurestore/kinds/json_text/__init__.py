"""Values as JSON text, from Python objects and from Spark columns, and JSON values as Spark reads them."""
