"""Numbers about models, chosen by what a model can answer."""
