"""Models in and out in the forms of other tools, which are imported on use only."""
