"""From settings and prices to results: no text, no files."""
