"""A run's folder as one page of HTML: charts, tables and words, without a network."""
