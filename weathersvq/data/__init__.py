"""From archives to windows: everything before the tensors. Nothing here imports torch."""
