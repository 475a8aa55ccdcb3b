"""Data sets as splits of uint8 images: read, divided, shuffled and augmented reproducibly."""
