"""Features inside a model: hidden states and attention maps, and which layers are compared."""
