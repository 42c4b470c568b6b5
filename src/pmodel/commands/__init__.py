"""What train.py and eval.py do, from the command line to the exit code."""
