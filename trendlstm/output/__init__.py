"""Everything that words, draws or writes a result."""
