"""Lists the operators that a stranger's TorchScript file may call, and why it may not call the others.

TorchScript is a program: it calls operators by name. The operators listed here only compute, from numbers to numbers,
within the process. Every other operator is refused, so a new operator of a later torch is refused until somebody has
read what it does. The names are those of the schemas of torch 2.13, without their overloads.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from fnmatch import translate

_ATEN = """
        Bool Complex ComplexImplicit Delete Float FloatImplicit Generator Int IntImplicit ScalarImplicit Size
        abs abs_ absolute absolute_ acos acos_ acosh acosh_ adaptive_avg_pool1d adaptive_avg_pool2d
        adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d add add_ addbmm addbmm_
        addcdiv addcdiv_ addcmul addcmul_ addmm addmm_ addmv addmv_ addr addr_ adjoint affine_grid_generator
        alias alias_copy all allclose alpha_dropout alpha_dropout_ amax amin aminmax angle any append arange
        arccos arccos_ arccosh arccosh_ arcsin arcsin_ arcsinh arcsinh_ arctan arctan_ arctan2 arctan2_ arctanh
        arctanh_ argmax argmin argsort argwhere as_strided as_strided_ as_strided_copy as_strided_scatter
        as_tensor asin asin_ asinh asinh_ atan atan_ atan2 atan2_ atanh atanh_ atleast_1d atleast_2d atleast_3d
        avg_pool1d avg_pool2d avg_pool3d baddbmm baddbmm_ bartlett_window batch_norm bernoulli bernoulli_
        bilinear bin binary_cross_entropy binary_cross_entropy_with_logits bincount binomial bitwise_and
        bitwise_and_ bitwise_left_shift bitwise_left_shift_ bitwise_not bitwise_not_ bitwise_or bitwise_or_
        bitwise_right_shift bitwise_right_shift_ bitwise_xor bitwise_xor_ blackman_window block_diag bmm
        broadcast_shapes broadcast_tensors broadcast_to bucketize can_cast capitalize cartesian_prod cat cauchy
        cauchy_ cdist ceil ceil_ celu celu_ center chain_matmul chalf channel_shuffle cholesky cholesky_inverse
        cholesky_solve chr chunk clamp clamp_ clamp_max clamp_max_ clamp_min clamp_min_ clear clip clip_ clone
        col2im column_stack combinations complex concat concatenate conj conj_physical conj_physical_
        constant_pad_nd contiguous conv1d conv2d conv3d conv_depthwise3d conv_tbc conv_transpose1d
        conv_transpose2d conv_transpose3d convolution copy copy_ copysign copysign_ corrcoef cos cos_ cosh cosh_
        cosine_embedding_loss cosine_similarity count count_nonzero cov cpu cross cross_entropy_loss cuda cummax
        cummin cumprod cumprod_ cumsum cumsum_ cumulative_trapezoid data deg2rad deg2rad_ degrees dequantize det
        detach detach_ detach_copy device diag diag_embed diagflat diagonal diagonal_copy diagonal_scatter dict
        diff digamma digamma_ dim dist div div_ divide divide_ divmod dot dropout dropout_ dsplit dstack einsum
        element_size elu elu_ embedding embedding_bag empty empty_like empty_permuted empty_quantized
        empty_strided endswith eq eq_ equal erf erf_ erfc erfc_ erfinv erfinv_ exp exp_ exp2 exp2_ expand
        expand_as expand_copy expandtabs expm1 expm1_ exponential exponential_ extend eye fabs factorial
        fake_quantize_per_channel_affine fake_quantize_per_channel_affine_cachemask
        fake_quantize_per_tensor_affine fake_quantize_per_tensor_affine_cachemask feature_alpha_dropout
        feature_alpha_dropout_ feature_dropout feature_dropout_ fft_fft fft_fft2 fft_fftfreq fft_fftn
        fft_fftshift fft_hfft fft_hfft2 fft_hfftn fft_ifft fft_ifft2 fft_ifftn fft_ifftshift fft_ihfft
        fft_ihfft2 fft_ihfftn fft_irfft fft_irfft2 fft_irfftn fft_rfft fft_rfft2 fft_rfftfreq fft_rfftn fill
        fill_ fill_diagonal_ find fix fix_ flatten flatten_dense_tensors flip fliplr flipud float_power
        float_power_ floor floor_ floor_divide floor_divide_ floordiv fmax fmin fmod fmod_ format frac frac_
        fractional_max_pool2d fractional_max_pool3d frexp frobenius_norm full full_like gamma gather gcd gcd_ ge
        ge_ gelu gelu_ geometric geometric_ geqrf ger get get_autocast_dtype get_device glu gradient greater
        greater_ greater_equal greater_equal_ grid_sampler grid_sampler_2d grid_sampler_3d group_norm gru
        gru_cell gt gt_ hamming_window hann_window hardshrink hardsigmoid hardsigmoid_ hardswish hardswish_
        hardtanh hardtanh_ has_torch_function hash hash_tensor heaviside heaviside_ hex hinge_embedding_loss
        histc histogram histogramdd hsplit hstack huber_loss hypot hypot_ i0 i0_ igamma igamma_ igammac igammac_
        im2col imag index index_add index_add_ index_copy index_copy_ index_fill index_fill_ index_put
        index_put_ index_reduce index_reduce_ index_select indices indices_copy initial_seed inner insert
        instance_norm int_repr inverse is_autocast_cpu_enabled is_autocast_enabled is_complex is_conj
        is_contiguous is_floating_point is_grad_enabled is_inference is_leaf is_neg is_non_overlapping_and_dense
        is_nonzero is_pinned is_same_size is_scripting is_set_to is_signed is_strides_like_format
        is_vulkan_available isalnum isalpha isclose isdecimal isdigit isfinite isidentifier isin isinf islower
        isnan isneginf isnumeric isposinf isprintable isreal isspace istft istitle isupper item items join
        kaiser_window keys kl_div kron kthvalue l1_loss layer_norm lcm lcm_ ldexp ldexp_ le le_ leaky_relu
        leaky_relu_ len lerp lerp_ less less_ less_equal less_equal_ lgamma lgamma_ lift lift_fresh
        lift_fresh_copy linalg__powsum linalg_cholesky linalg_cholesky_ex linalg_cond linalg_cross linalg_det
        linalg_diagonal linalg_eig linalg_eigh linalg_eigvals linalg_eigvalsh linalg_householder_product
        linalg_inv linalg_inv_ex linalg_ldl_factor linalg_ldl_factor_ex linalg_ldl_solve linalg_lstsq linalg_lu
        linalg_lu_factor linalg_lu_factor_ex linalg_lu_solve linalg_matmul linalg_matrix_exp linalg_matrix_norm
        linalg_matrix_power linalg_matrix_rank linalg_multi_dot linalg_norm linalg_pinv linalg_qr linalg_slogdet
        linalg_solve linalg_solve_ex linalg_solve_triangular linalg_svd linalg_svdvals linalg_tensorinv
        linalg_tensorsolve linalg_vander linalg_vecdot linalg_vector_norm linear linspace list ljust log log_
        log10 log10_ log1p log1p_ log2 log2_ log_normal log_normal_ log_sigmoid log_sigmoid_forward log_softmax
        logaddexp logaddexp2 logcumsumexp logdet logical_and logical_and_ logical_not logical_not_ logical_or
        logical_or_ logical_xor logical_xor_ logit logit_ logspace logsumexp lower lstm lstm_cell lstrip lt lt_
        lu_solve lu_unpack mH mT manual_seed margin_ranking_loss masked_fill masked_fill_ masked_scatter
        masked_scatter_ masked_select mathremainder matmul matrix_H matrix_exp matrix_power max max_pool1d
        max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d max_pool3d_with_indices
        max_unpool2d max_unpool3d maximum mean median meshgrid min minimum mish mish_ mm mode modf moveaxis
        movedim mse_loss msort mul mul_ multi_margin_loss multilabel_margin_loss multilabel_margin_loss_forward
        multinomial multiply multiply_ mv mvlgamma mvlgamma_ nan_to_num nan_to_num_ nanmean nanmedian
        nanquantile nansum narrow narrow_copy native_channel_shuffle native_dropout native_group_norm
        native_layer_norm native_norm ne ne_ neg neg_ negative negative_ new_empty new_empty_strided new_full
        new_ones new_zeros nextafter nextafter_ nll_loss nll_loss2d nll_loss2d_forward nll_loss_forward
        nll_loss_nd nonzero nonzero_numpy nonzero_static norm norm_except_dim normal normal_ normal_functional
        not_equal not_equal_ nuclear_norm numel numpy_T oct one_hot ones ones_like ord orgqr ormqr outer
        output_nr pad pad_sequence pairwise_distance partition pdist percentFormat permute permute_copy pinverse
        pixel_shuffle pixel_unshuffle poisson poisson_nll_loss polar polygamma polygamma_ pop popitem positive
        pow pow_ prelu prod promote_types put put_ q_per_channel_axis q_per_channel_scales
        q_per_channel_zero_points q_scale q_zero_point qr qscheme quantile quantize_per_channel
        quantize_per_tensor quantize_per_tensor_dynamic quantized_batch_norm quantized_gru quantized_gru_cell
        quantized_lstm quantized_lstm_cell quantized_max_pool1d quantized_max_pool2d quantized_max_pool3d
        quantized_rnn_relu_cell quantized_rnn_tanh_cell rad2deg rad2deg_ radians rand rand_like randint
        randint_like randn randn_like random random_ randperm range ravel real reciprocal reciprocal_
        reflection_pad1d reflection_pad2d reflection_pad3d relu relu_ relu6 relu6_ remainder remainder_ remove
        renorm renorm_ repeat repeat_interleave replace replication_pad1d replication_pad2d replication_pad3d
        reshape reshape_as resize resize_ resize_as resize_as_ resolve_conj resolve_neg result_type retains_grad
        reverse rfind rindex rjust rms_norm rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell roll rot90 round
        round_ row_stack rpartition rrelu rrelu_ rrelu_with_noise rrelu_with_noise_ rrelu_with_noise_functional
        rsplit rsqrt rsqrt_ rstrip rsub scalar_tensor scaled_dot_product_attention scatter scatter_ scatter_add
        scatter_add_ scatter_reduce scatter_reduce_ searchsorted seed select select_copy select_scatter selu
        selu_ set set_grad_enabled setdefault sgn sgn_ sigmoid sigmoid_ sign sign_ signbit silu silu_ sin sin_
        sinc sinc_ sinh sinh_ size slice slice_copy slice_scatter slogdet slow_conv3d slow_conv3d_forward
        slow_conv_dilated2d slow_conv_dilated3d slow_conv_transpose2d slow_conv_transpose3d smooth_l1_loss
        soft_margin_loss softmax softplus softshrink sort sorted special_airy_ai special_bessel_j0
        special_bessel_j1 special_bessel_y0 special_bessel_y1 special_chebyshev_polynomial_t
        special_chebyshev_polynomial_u special_chebyshev_polynomial_v special_chebyshev_polynomial_w
        special_digamma special_entr special_erf special_erfc special_erfcx special_erfinv special_exp2
        special_expit special_expm1 special_gammainc special_gammaincc special_gammaln
        special_hermite_polynomial_h special_hermite_polynomial_he special_i0 special_i0e special_i1 special_i1e
        special_laguerre_polynomial_l special_legendre_polynomial_p special_log1p special_log_ndtr
        special_log_softmax special_logit special_logsumexp special_modified_bessel_i0
        special_modified_bessel_i1 special_modified_bessel_k0 special_modified_bessel_k1 special_multigammaln
        special_ndtr special_ndtri special_polygamma special_psi special_round special_scaled_modified_bessel_k0
        special_scaled_modified_bessel_k1 special_shifted_chebyshev_polynomial_t
        special_shifted_chebyshev_polynomial_u special_shifted_chebyshev_polynomial_v
        special_shifted_chebyshev_polynomial_w special_sinc special_softmax special_spherical_bessel_j0
        special_xlog1py special_xlogy special_zeta split split_copy split_with_sizes split_with_sizes_copy
        splitlines sqrt sqrt_ square square_ squeeze squeeze_ squeeze_copy stack startswith std std_mean stft
        storage_offset str stride strip sub sub_ subtract subtract_ sum sum_to_size svd swapaxes swapaxes_
        swapcase swapdims swapdims_ t t_ t_copy take take_along_dim tan tan_ tanh tanh_ tensor tensor_split
        tensordot thnn_conv2d threshold threshold_ tile title to to_dense to_padded_tensor topk trace transpose
        transpose_ transpose_copy trapezoid trapz triangular_solve tril tril_ tril_indices triplet_margin_loss
        triu triu_ triu_indices true_divide true_divide_ trunc trunc_ type_as unbind unbind_copy unflatten
        unflatten_dense_tensors unfold unfold_copy uniform uniform_ unique_consecutive unique_dim
        unique_dim_consecutive unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze unsqueeze_
        unsqueeze_copy update upper upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_nearest1d
        upsample_nearest2d upsample_nearest3d upsample_trilinear3d values values_copy vander var var_mean vdot
        view view_as view_as_complex view_as_complex_copy view_as_real view_as_real_copy view_copy vsplit vstack
        wait warn where xlogy xlogy_ zero zero_ zeros zeros_like zfill
"""
# Operators with an underscore in front are internal to torch, which does not check them as it checks public ones. The
# names here are those that scripting and tracing of usual networks leave in a file: operators of the language, shapes,
# convolutions, attention, resizing.
_ATEN_INTERNAL = """
        __and__ __contains__ __derive_index __getitem__ __iand__ __ilshift__ __interpolate __ior__ __irshift__
        __is__ __isnot__ __ixor__ __lshift__ __not__ __or__ __range_length __round_to_zero_floordiv __rshift__
        __upsample __upsample_bilinear __upsample_nearest __xor__ _adaptive_avg_pool2d _adaptive_avg_pool3d
        _add_relu _add_relu_ _addmm_activation _aminmax _batch_norm_impl_index _cast_Byte _cast_Char
        _cast_Double _cast_Float _cast_Half _cast_Int _cast_Long _cast_Short _cdist_forward _conj _conj_physical
        _convolution _convolution_mode _dim_arange _euclidean_dist _fft_c2c _fft_c2r _fft_r2c _fused_sdp_choice
        _get_tracing_state _infer_size _is_all_true _is_any_true _linalg_det _linalg_eigh _linalg_eigvals
        _linalg_slogdet _linalg_solve_ex _linalg_svd _list_to_tensor _local_scalar_dense _log_softmax
        _make_per_channel_quantized_tensor _make_per_tensor_quantized_tensor _masked_softmax
        _native_multi_head_attention _nested_tensor_from_mask _nested_tensor_from_mask_left_aligned
        _nested_tensor_from_tensor_list _no_grad_fill_ _no_grad_normal_ _no_grad_uniform_ _no_grad_zero_
        _pack_padded_sequence _pad_circular _pad_enum _prelu_kernel _safe_softmax
        _scaled_dot_product_attention_math _set_item _shape_as_tensor _size_if_not_equal _softmax _stack
        _tensor_to_list _to_copy _transformer_encoder_layer_fwd _trilinear _unique _unique2 _unwrap_optional
        _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_lanczos2d_aa _upsample_nearest_exact1d
        _upsample_nearest_exact2d _upsample_nearest_exact3d _version
"""
_PRIM = """
        ChunkSizes ConstantChunk EnumName EnumValue IfThenElse ModuleContainerIndex NumToTensor RaiseException
        StringIndex TupleIndex TupleUnpack Uninitialized VarConcat VarStack abs awaitable_nowait awaitable_wait
        data device dtype grad index is_cpu is_cuda is_ipu is_maia is_meta is_mkldnn is_mps is_mtia is_nested
        is_quantized is_sparse is_sparse_csr is_vulkan is_xla is_xpu itemsize layout max min name nbytes
        rangelist requires_grad tolist type unchecked_cast unchecked_unwrap_optional
"""
# These operators belong to int8 layers and their packed weights.
_QUANTIZED = """
        add add_out add_relu add_relu_out add_scalar add_scalar_out add_scalar_relu add_scalar_relu_out
        batch_norm batch_norm1d batch_norm1d_relu batch_norm2d batch_norm2d_relu batch_norm3d batch_norm3d_relu
        batch_norm_relu cat cat_out cat_relu cat_relu_out celu clamp conv1d conv1d_dynamic conv1d_prepack
        conv1d_relu conv1d_unpack conv2d conv2d_add conv2d_add_relu conv2d_dilation conv2d_dynamic conv2d_groups
        conv2d_output_padding conv2d_padding conv2d_prepack conv2d_relu conv2d_stride conv2d_transpose
        conv2d_unpack conv2d_unpack_sizes conv3d conv3d_dilation conv3d_dynamic conv3d_groups
        conv3d_output_padding conv3d_padding conv3d_prepack conv3d_relu conv3d_stride conv3d_transpose
        conv3d_unpack conv_prepack conv_transpose1d conv_transpose1d_dynamic conv_transpose1d_prepack
        conv_transpose1d_unpack conv_transpose2d conv_transpose2d_dilation conv_transpose2d_dynamic
        conv_transpose2d_groups conv_transpose2d_output_padding conv_transpose2d_padding
        conv_transpose2d_prepack conv_transpose2d_stride conv_transpose2d_transpose conv_transpose2d_unpack
        conv_transpose3d conv_transpose3d_dilation conv_transpose3d_dynamic conv_transpose3d_groups
        conv_transpose3d_output_padding conv_transpose3d_padding conv_transpose3d_prepack
        conv_transpose3d_stride conv_transpose3d_transpose conv_transpose3d_unpack conv_unpack dropout elu
        group_norm hardswish instance_norm int4mm_packed_weight_cpu layer_norm leaky_relu linear linear_dynamic
        linear_dynamic_fp16 linear_leaky_relu linear_prepack linear_prepack_fp16 linear_prepack_fp16_legacy
        linear_prepack_legacy linear_relu linear_relu_dynamic linear_relu_dynamic_fp16 linear_tanh linear_unpack
        linear_unpack_fp16 linear_with_input_q_dq_qweight_dq_output_fp32
        linear_with_input_q_dq_qweight_dq_relu_output_fp32 make_quantized_cell_params
        make_quantized_cell_params_dynamic make_quantized_cell_params_fp16 matmul max_pool1d max_pool2d mul
        mul_out mul_relu mul_relu_out mul_scalar mul_scalar_out mul_scalar_relu mul_scalar_relu_out prelu
        quantized_gru_cell_dynamic quantized_lstm_cell_dynamic quantized_rnn_relu_cell_dynamic
        quantized_rnn_tanh_cell_dynamic relu6 sigmoid softmax threshold
"""

ALLOWED = frozenset(
    f"{namespace}::{name}"
    for namespace, names in (("aten", _ATEN + _ATEN_INTERNAL), ("prim", _PRIM), ("quantized", _QUANTIZED))
    for name in names.split()
)

# Operators that are refused, with the reason that a person reads; `*` stands for any characters. Each operator that
# torch registers is either above or here, which a test checks. Names that a network's own layers and values could have
# too are written out, because they are compared with the names of attributes and methods as well. Some 180 calls of
# public operators with sizes and indices that do not fit were tried; operators that read or wrote beyond a tensor are
# refused.
REFUSED: tuple[tuple[str, str], ...] = (
    ("it reads and writes files", "aten::from_file aten::save debugprims::* image::*"),
    ("it runs Python", "prim::PythonOp prim::IgnoredPythonOp"),
    (
        "it talks to other processes",
        """
        aten::confirmed_by_owner aten::get_gradients aten::is_distributed aten::is_owner aten::local_value aten::owner
        aten::owner_name aten::to_here prim::rpc_* *c10d*::* _dtensor::* cplib::* fsdp::* symm_mem::*
        """,
    ),
    ("it writes into a server's own output, which TorchServe reads", "prim::Print aten::_print"),
    ("it tells an address in memory", "prim::id mkldnn::data_ptr"),
    (
        "it reads or writes memory without checking bounds",
        """
        aten::set_ aten::set_data aten::_reshape_alias aten::_reshape_alias_copy aten::_unsafe_* aten::_index_put_impl*
        aten::_nested_* aten::nested_to_padded_tensor aten::_jagged_to_padded_dense_forward
        aten::_padded_dense_to_jagged_forward aten::segment_reduce aten::slice_inverse aten::embedding_renorm
        aten::embedding_renorm_ aten::_no_grad_embedding_renorm_ aten::_embedding_bag aten::_embedding_bag_forward_only
        aten::_resize_output aten::_resize_output_ aten::_has_same_storage_numel quantized::*embedding* aten::ctc_loss
        aten::native_batch_norm aten::_native_batch_norm_legit aten::_native_batch_norm_legit_no_training
        aten::_weight_norm aten::_weight_norm_interface aten::_pad_packed_sequence aten::_transform_bias_rescale_qkv
        aten::_scaled_dot_product_flash_attention_for_cpu
        """,
    ),
    (
        "the indices of sparse tensors are not always checked",
        """
        aten::_*sparse* aten::copy_sparse_to_sparse* aten::resize_as_sparse* aten::sparse_bsc_tensor
        aten::sparse_bsr_tensor aten::sparse_compressed_tensor aten::sparse_coo_tensor aten::sparse_csc_tensor
        aten::sparse_csr_tensor aten::sparse_dim aten::sparse_mask aten::sparse_resize* aten::sparse_sampled_addmm
        aten::to_sparse* aten::coalesce aten::is_coalesced aten::_coalesce* aten::dense_dim aten::ccol_indices*
        aten::crow_indices* aten::col_indices* aten::row_indices* aten::_indices aten::_indices_copy aten::_values
        aten::_values_copy aten::_convert_indices_* aten::_dimI aten::_dimV aten::_nnz aten::_spdiags aten::_spsolve
        aten::_to_dense aten::hspmm aten::smm aten::sspaddmm sparse::*
        """,
    ),
    (
        "it is a step of training",
        """
        aten::*_backward aten::backward aten::*_backward_data aten::*_backward_impl aten::batch_norm_*
        aten::convolution_backward_overrideable aten::glu_backward_jvp aten::glu_jvp aten::grad aten::retain_grad
        aten::requires_grad_ aten::choose_qparams_optimized aten::fused_moving_avg_obs_fake_quant
        aten::_fake_quantize_learnable_* aten::_fake_quantize_per_tensor_* aten::_fused_adagrad* aten::_fused_adam*
        aten::_fused_sgd* aten::_fused_moving_avg_* aten::_amp_* aten::_autocast_* aten::_dirichlet_grad
        aten::_standard_gamma_grad aten::_grad_sum_to_size aten::_make_dual* aten::_unpack_dual aten::_fw_primal*
        """,
    ),
    ("it is about a device", "aten::record_stream aten::pin_memory aten::_pin_memory cuda::* streams::*"),
    (
        "it belongs to one library's own layout of weights",
        """
        aten::cudnn_* aten::_cudnn_* aten::miopen_* aten::mkldnn_* aten::_mkldnn_* aten::to_mkldnn aten::fbgemm_*
        aten::_mps_* aten::_lstm_mps aten::_triton_* aten::_cslt_* aten::_weight_int* aten::_dyn_quant_*
        aten::_convert_weight_to_int4pack* aten::_wrapped_* aten::_nnpack_* aten::_cufft_* aten::_mixed_dtypes_linear
        aten::convolution_overrideable quantized::*unpacked* mkl*::* onednn::* _quantized::* quantization::*
        """,
    ),
    (
        "it belongs to torch's own compiler or exporter and is in no file that was only saved",
        """
        prim::* prims::* *prims::* aten::sym_* static_runtime::* *inductor*::* export::* flex_lib::* onnx*::*
        _native::*
        """,
    ),
    (
        "it is a tool for torch's developers",
        "aten::_test_* aten::_foobar aten::_debug_* profiler::* debug_mode_ops::* _test::*",
    ),
    (
        "it is internal to torch, which checks its arguments elsewhere",
        """
        aten::_add_batch_dim aten::_assert_* aten::_batch_norm_* aten::_cholesky_solve_helper
        aten::_choose_qparams_per_tensor aten::_chunk_cat aten::_compute_linear_combination aten::_conj_copy
        aten::_conv_depthwise2d aten::_copy_from* aten::_ctc_loss aten::_cummax_helper aten::_cummin_helper
        aten::_efficient_attention_forward aten::_efficientzerotensor aten::_empty_* aten::_fill_mem_eff_dropout_mask_
        aten::_flash_attention_forward* aten::_foreach_* aten::_functional_* aten::_fused_dropout aten::_fused_rms_norm
        aten::_get_cpu_capability aten::_grid_sampler_2d_cpu_fallback aten::_grouped_mm
        aten::_has_compatible_shallow_copy_type aten::_histogramdd_* aten::_int_mm aten::_is_zerotensor
        aten::_lazy_clone aten::_linalg_check_errors aten::_logcumsumexp aten::_lu_with_info aten::_make_dep_token
        aten::_masked_scale aten::_native_batch_norm_legit_functional aten::_ncf_* aten::_neg_view*
        aten::_new_zeros_with_same_feature_meta aten::_pack_sequence aten::_pdist_forward aten::_philox_*
        aten::_propagate_xla_data aten::_remove_batch_dim aten::_reshape_copy aten::_reshape_from_tensor
        aten::_rowwise_prune aten::_sample_dirichlet aten::_saturate_weight_to_fp16 aten::_scaled_* aten::_slow_conv2d_*
        aten::_sobol_engine_* aten::_standard_gamma aten::_thnn_* aten::_to_cpu aten::_use_*
        """,
    ),
)
_PATTERNS = tuple((re.compile("|".join(map(translate, names.split()))), reason) for reason, names in REFUSED)
UNKNOWN = "nothing is known of it"
# Limits for one message.
_MOST_NAMED, _LONGEST_NAME = 5, 100

# A file may hold objects of these classes of torch, the packed weights of int8 layers.
ALLOWED_CLASSES = frozenset(
    f"__torch__.torch.classes.{name}"
    for name in (
        "quantized.LinearPackedParamsBase",
        "quantized.Conv2dPackedParamsBase",
        "quantized.Conv3dPackedParamsBase",
        "rnn.CellParamsBase",
    )
)


def refusal(operator: str, allowed: Collection[str] = ()) -> str:
    """Why an operator may not be called, in one clause; empty where it may.

    Args:
        operator: namespace and name, such as `aten::relu`.
        allowed: names that the user allows beside the list.
    """
    if operator in ALLOWED or operator in allowed:
        return ""
    return next((reason for pattern, reason in _PATTERNS if pattern.match(operator)), UNKNOWN)


def how_to_allow(operators: Collection[str]) -> str:
    """Advice for a person who wants to load a file with these operators all the same."""
    options = " ".join(f"--allow-operator {cut(operator)}" for operator in list(operators)[:_MOST_NAMED])
    more = f" (and {len(operators) - _MOST_NAMED} more)" if len(operators) > _MOST_NAMED else ""
    return f"nothing of it was loaded; give {options}{more} if you know who made it and why it needs that"


def cut(text: str) -> str:
    """A stranger's name, cut to a length that fits into a message."""
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}..."
