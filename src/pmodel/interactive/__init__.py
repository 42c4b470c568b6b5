"""What one calls in Python and in notebooks: training, and runs that show and evaluate themselves."""
