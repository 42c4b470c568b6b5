"""One model per file, in a file of its own name."""
