"""Models in and out: the formats of other tools, which are imported on use only."""
