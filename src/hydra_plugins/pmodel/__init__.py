"""What Hydra finds as plugins: launchers and a sweeper. All are imported at each start, so nothing in them is heavy."""
