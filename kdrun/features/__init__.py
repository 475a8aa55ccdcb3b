"""Features of a model: hidden states, attention maps, and the pairs of layers to compare."""
