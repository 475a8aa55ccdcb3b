"""Network architectures of the distillation literature."""
