"""Image classifiers: plain `nn.Module`s that know nothing of distillation.

`names` lists them without importing torch; `build.build_model` builds any of them.
"""
