"""Self-attention modules of transformers, and their maps recomputed despite fused kernels."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from kdrun.losses import attention_map


def attention_modules(model: nn.Module) -> list[str]:
    """Paths of the self-attention modules with capturable maps, in order.

    These are torch's MultiheadAttention and timm's Attention; not modules that add a bias to the
    scores, such as Swin's and BEiT's, or rotate queries and keys.
    """
    return [path for path, module in model.named_modules() if path and has_known_map(module)]


def has_known_map(module: nn.Module) -> bool:
    """Whether the module's map is softmax(query keyᵀ / sqrt(d)) of its known projections."""
    if isinstance(module, nn.MultiheadAttention):
        plain = module.bias_k is None and not module.add_zero_attn
        return plain and module.in_proj_weight is not None
    # By name, as timm is optional. A parameter or buffer of the module itself is a bias of the
    # scores or the projection, missing from the recomputed map.
    own = (*module.parameters(recurse=False), *module.buffers(recurse=False))
    return (
        type(module).__name__ == "Attention"
        and isinstance(getattr(module, "qkv", None), nn.Linear)
        and hasattr(module, "num_heads")
        and not own
    )


def multihead_map(
    module: nn.MultiheadAttention, args: tuple[Any, ...], kwargs: dict[str, Any], output: object
) -> Tensor | None:
    """The attention map recomputed from the module's input; works without `need_weights`."""
    query, key, *_ = (*args, *(kwargs[name] for name in ("query", "key") if name in kwargs))
    masks = (*args[3:4], *args[5:6], kwargs.get("key_padding_mask"), kwargs.get("attn_mask"))
    if query is not key or query.ndim != 3 or any(mask is not None for mask in masks):
        return None
    tokens = query if module.batch_first else query.transpose(0, 1)
    width = 2 * module.embed_dim
    bias = None if module.in_proj_bias is None else module.in_proj_bias[:width]
    projected = F.linear(tokens, module.in_proj_weight[:width], bias)
    query, key = projected.unflatten(-1, (2, module.num_heads, -1)).permute(2, 0, 3, 1, 4)
    return attention_map(query, key)


def qkv_map(attention: Any, projection: nn.Module, args: object, output: Tensor) -> Tensor | None:
    """The attention map from the output of timm's joint qkv projection, even if fused."""
    if output.ndim != 3:
        return None
    query, key, _ = output.unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    # `.forward`, so that hooks on the norm do not see a second call.
    if hasattr(attention, "q_norm"):
        query, key = attention.q_norm.forward(query), attention.k_norm.forward(key)
    return attention_map(query, key)
