"""From a config to a checkpoint: `train` is the loop, `runs` the folder that it fills."""
