"""From a checkpoint to forecasts.

`inference` makes of it what computes fastest here, `job` goes through initial times and gives labels
back (`labels`), `stream` writes while the next ones compute; `frames` does the same for video, and
`export` turns the model into a file for other programs.
"""
