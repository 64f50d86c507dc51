"""What the codebook of a model does: `measures` in numbers, `pictures` drawn, `covering` in theory."""
