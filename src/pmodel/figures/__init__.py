"""What to draw of a model that can answer a question."""
