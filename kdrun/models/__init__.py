"""Image classifiers: plain `nn.Module`s, independent of distillation.

`kdrun.catalog.architectures` lists them without importing torch; `build.build_model` builds them.
"""
