"""Networks of the distillation literature."""
