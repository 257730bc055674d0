"""The operations by name: their surrogates, and operations that run unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from torch_synflow.flow.surrogate import attention, choices, layers_and_norms, linear_algebra, products, recurrent, sums
from torch_synflow.flow.surrogate.call import Call
from torch_synflow.flow.surrogate.trace import Label


def words(text: str) -> frozenset[str]:
    """A set of names, written as one text."""
    return frozenset(text.split())


#: operations whose result a product of two flows first takes for its gate
GATES = words("sigmoid hardsigmoid special_expit softmax special_softmax")
#: operations whose result it takes for its gate next
BOUNDED = words("tanh relu6 hardtanh clamp clip erf special_erf reciprocal rsqrt")
_ACTIVATIONS = words(
    "gelu silu hardswish elu selu celu leaky_relu prelu rrelu rrelu_with_noise softplus mish log_sigmoid logsigmoid "
    "softsign tanhshrink hardshrink softshrink threshold hardswish exp expm1 log1p sqrt square atan arctan "
    "log_softmax special_log_softmax clamp_min clamp_max relu6 hardtanh tanh clamp clip erf special_erf sigmoid "
    "hardsigmoid special_expit"
)
_DROPOUT = words("dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout feature_dropout")
#: operations that move some elements of the first argument and drop others
SELECT = words(
    "getitem chunk split split_with_sizes tensor_split unsafe_chunk unsafe_split unbind select narrow hsplit vsplit "
    "dsplit iter unsafe_split_with_sizes"
)
#: operations that move all elements of the first argument
SHAPE = words(
    "reshape view view_as reshape_as permute transpose flatten unflatten contiguous squeeze unsqueeze expand expand_as "
    "clone t get movedim moveaxis swapaxes swapdims roll flip adjoint to type type_as float double half bfloat16 "
    "repeat tile broadcast_to pad constant_pad_nd unfold channel_shuffle pixel_shuffle pixel_unshuffle rot90 ravel "
    "alias requires_grad cpu cuda repeat_interleave native_channel_shuffle"
)
#: linear maps with a weight; a constant input to them is also an input of the network
CONVOLUTIONS = words("conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d")
LAYERS = CONVOLUTIONS | words("linear embedding embedding_bag")
#: linear maps for which torch needs all operands in one precision
MATRICES = LAYERS | words("matmul mm bmm mv einsum")
#: operations whose degree is the sum of the degrees of their flows
PRODUCTS = words("mul matmul mm bmm mv einsum div")
#: operations of degree zero, because they divide by their own magnitude
NORMALISED = words(
    "softmax special_softmax layer_norm rms_norm group_norm instance_norm batch_norm normalize embedding"
)
#: homogeneous operations
LINEAR = words(
    "relu cat concat concatenate stack hstack vstack dstack mean sum nansum amax max maximum sort abs absolute "
    "avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d max_pool1d "
    "max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d lp_pool1d lp_pool2d lp_pool3d "
    "max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices boolean_dispatch fn fold cumsum gather "
    "index_select take scatter index_add index_copy scatter_add setitem copy interpolate upsample upsample_nearest "
    "upsample_bilinear grid_sample tril triu diagonal diag_embed trace norm item "
    "tolist size dim numel new_zeros new_ones zeros_like ones_like min minimum amin "
    "masked_select take_along_dim masked_scatter index_put scatter_reduce slice_scatter select_scatter "
    "diagonal_scatter as_strided atleast_1d atleast_2d atleast_3d block_diag broadcast_tensors column_stack "
    "row_stack meshgrid fliplr flipud diag diagflat nan_to_num cummax cummin aminmax kthvalue median nanmean msort "
    "positive put linalg_vector_norm linalg_norm frobenius_norm linalg_diagonal std std_mean fmax fmin full_like "
    "empty_like new_full new_empty roi_align roi_pool ps_roi_align ps_roi_pool"
)
#: operations through which a gate stays a gate
THROUGH = SHAPE | SELECT | _DROPOUT | words("add sub mul div neg where masked_fill mean")

SURROGATES: dict[str, Callable[[Call], Any]] = {
    **dict.fromkeys(_ACTIVATIONS, layers_and_norms.activation),
    **dict.fromkeys(_DROPOUT, layers_and_norms.identity),
    **dict.fromkeys(("softmax", "special_softmax"), layers_and_norms.softmax),
    **dict.fromkeys(("layer_norm", "rms_norm"), layers_and_norms.layer_norm),
    **dict.fromkeys(("matmul", "mm", "bmm", "mv"), products.matmul),
    **dict.fromkeys(LAYERS, layers_and_norms.layer),
    **dict.fromkeys(("embedding", "embedding_bag"), layers_and_norms.embedding),
    **dict.fromkeys(("normalize", "local_response_norm"), layers_and_norms.normalize),
    **dict.fromkeys(("reciprocal", "rsqrt"), products.reciprocal),
    **dict.fromkeys(("pow", "float_power"), products.power),
    "group_norm": layers_and_norms.group_norm,
    "instance_norm": layers_and_norms.instance_norm,
    "batch_norm": layers_and_norms.batch_norm,
    "add": sums.add,
    "sub": sums.subtract,
    "neg": layers_and_norms.identity,
    "mul": products.multiply,
    "div": products.divide,
    **dict.fromkeys(words("cat concat concatenate hstack vstack dstack stack"), sums.join),
    **dict.fromkeys(words("float double half bfloat16 to type type_as"), layers_and_norms.cast),
    **dict.fromkeys(("logsumexp", "logcumsumexp"), sums.log_of_sum),
    "where": products.where,
    "masked_fill": products.masked_fill,
    "einsum": products.einsum,
    "nms": choices.boxes,
    "topk": choices.topk,
    "argmax": choices.argmax,
}

#: surrogates of operations on weights alone: a normalisation keeps weights positive, and its size is a constant, as for
#: flows
OF_WEIGHTS: dict[str, Callable[[Call], Any]] = {
    **dict.fromkeys(("batch_norm", "layer_norm", "rms_norm", "normalize"), layers_and_norms.of_weights),
    "weight_norm": layers_and_norms.weight_norm,
    **dict.fromkeys(("matmul", "mm", "bmm", "mv"), products.matmul),
    "einsum": products.einsum,
    "sub": sums.centred_weights,
    "div": products.weights_over,
}

#: random tensors in the shape of a flow
NOISE: dict[str, Callable[[Tensor], Tensor]] = dict.fromkeys(("rand_like", "randn_like"), layers_and_norms.noise)

#: surrogates that users registered, by operation
REGISTERED: dict[Any, Callable[..., Any]] = {}

#: operations that run in steps with surrogates
DECOMPOSED: dict[str, Callable[[Call], Any]] = {
    **linear_algebra.STEPS,
    "grouped_mm": products.grouped_matmul,
    "glu": products.glu,
    "scaled_dot_product_attention": attention.scaled_dot_product_attention,
    "multi_head_attention_forward": attention.multi_head_attention,
    "lstm": recurrent.lstm,
    "gru": recurrent.gru,
    **dict.fromkeys(("rnn_tanh", "rnn_relu"), recurrent.rnn),
    "pack_padded_sequence": recurrent.pack,
    "pad_packed_sequence": recurrent.unpack,
    "lstm_cell": recurrent.lstm_cell,
    "gru_cell": recurrent.gru_cell,
    **dict.fromkeys(("rnn_tanh_cell", "rnn_relu_cell"), recurrent.rnn_cell),
}

_SAME = {
    "radd": "add", "iadd": "add", "rsub": "sub", "isub": "sub", "subtract": "sub", "rmul": "mul", "imul": "mul",
    "multiply": "mul", "divide": "div", "true_divide": "div", "truediv": "div", "rtruediv": "div", "rdiv": "div",
    "itruediv": "div", "idiv": "div", "ipow": "pow", "rpow": "pow", "negative": "neg", "imatmul": "matmul",
    "rmatmul": "matmul", "linalg_matmul": "matmul", "sparse_mm": "mm",
}  # fmt: skip


def name_of(func: Any) -> str:
    """The name of an operation, the same for a function, a method, an operator and their in-place forms."""
    name = str(getattr(func, "__name__", func)).strip("_")
    return _SAME.get(name, name)


def known(name: str) -> bool:
    """Whether the operation has a surrogate or is homogeneous."""
    return name in SURROGATES or name in LINEAR or name in NOISE or name in SHAPE or name in SELECT


def kind_of(name: str, *, registered: bool) -> str:
    """The kind of an operation in the trace; see :class:`~torch_synflow.flow.surrogate.trace.Node`."""
    if name in SELECT:
        return "select"
    if name in SHAPE:
        return "shape"
    if name in MATRICES:
        return "weights"
    return "known" if registered or known(name) else "unknown"


def nature_of(name: str, flows: list[Label]) -> tuple[int, bool]:
    """How likely the output is a gate, and whether it is a mean."""
    if name in GATES:
        return 2, False
    if name in BOUNDED:
        return 1, False
    if name in THROUGH and len(flows) == 1:
        return flows[0].gate, name == "mean" or (flows[0].mean and (name in SHAPE or name in SELECT))
    return 0, name == "mean"
