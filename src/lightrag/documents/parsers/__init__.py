"""One module per format family, each with a `parse` function. Imported only by the process that reads such a file."""
