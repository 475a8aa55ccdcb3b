"""Image classifiers: plain `nn.Module`s that know nothing of distillation.

`kdrun.catalog.architectures` lists them without torch; `build.build_model` builds any of them.
"""
