"""What a run directory holds: whoever reads or writes one of its files asks here for its name. Light to import.

config.yaml     the resolved config; paths.run_dir is left open, so that the directory can be moved
overrides.yaml  what was typed
status.json     running, done, stopped, pruned or failed, and why
train.log       what was logged, with the traceback of a failure
metrics.csv     numbers over time
results.json    the final numbers, each with its protocol
checkpoints/    last.ckpt, best.ckpt, epoch_012.ckpt
figures/
eval/           what eval.py wrote, a folder each time, with a results.json of its own

Of several processes, all but the first have a status_1.json and a train_1.log of their own, until the run is done.
"""

# Of a run directory and of results.json: counts up with every change after which an older one can't be read any more.
# It is in status.json too; where that has none, it is this one.
SCHEMA = 2
CONFIG, OVERRIDES, STATUS = "config.yaml", "overrides.yaml", "status.json"
RESULTS, METRICS = "results.json", "metrics.csv"
BEST, LAST = "best.ckpt", "last.ckpt"
# In a multirun's directory: what was typed, and how far it has come.
SWEEP = "sweep.json"
