"""Where the examples come from: one data module per kind of source, and what they share."""
