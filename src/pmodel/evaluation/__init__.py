"""What a model is asked at the end, and how each answer is stamped: metrics on one side, capabilities on the other."""
