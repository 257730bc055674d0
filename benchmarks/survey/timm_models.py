"""Families of timm: the smallest model of each module that holds classifiers, at the size that it is made for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from benchmarks.survey.subject import Subject, images

#: of timm 1.0.31, by the number of parameters; without encoders for other models (SAM, Gemma, Qwen, DeepSeek, MobileNetV5)
NAMES = ["beit_base_patch16_224", "cait_xxs24_224", "coat_tiny", "convit_tiny", "convmixer_768_32", "cpubone_nano", "crossvit_tiny_240", "cs3darknet_focus_s", "csatv2", "cspnext_tiny", "davit_tiny", "deit_tiny_patch16_224", "densenet121", "dla46x_c", "dpn48b", "edgenext_xx_small", "efficientformer_l1", "efficientformerv2_s0", "efficientvim_m1", "efficientvit_b0", "efficientvit_m0", "ese_vovnet19b_slim_dw", "fasternet_t0", "fastvit_t8", "focalnet_tiny_srf", "gcvit_xxtiny", "ghostnet_050", "gmlp_ti16_224", "halonet_h1", "hardcorenas_b", "hgnetv2_b0", "hiera_tiny_224", "hrnet_w18_small", "iformer_t", "inception_next_atto", "inception_resnet_v2", "inception_v3", "inception_v4", "lcnetv2_small", "legacy_seresnet18", "legacy_xception", "levit_128s", "lowformer_b0", "mobilenetv3_small_050", "mobilevit_xxs", "mvitv2_tiny", "naflexvit_base_patch16_gap", "nasnetalarge", "nest_tiny", "nextvit_small", "pit_ti_224", "pnasnet5large", "poolformerv2_s12", "pvt_v2_b0", "rdnet_tiny", "regnetx_002", "repghostnet_050", "repvit_m1", "res2next50", "resnest14d", "resnetv2_18", "rexnet_100", "selecsls42", "sequencer2d_s", "shvit_s1", "skresnet18", "starnet_s050", "swiftformer_xs", "swin_tiny_patch4_window7_224", "swinv2_cr_tiny_224", "swinv2_tiny_window8_256", "test_byobnet", "test_coatnet", "test_convnext", "test_efficientnet", "test_mambaout", "test_nfnet", "test_resnet", "test_vit", "test_vit_relpos", "tiny_vit_5m_224", "tnt_s_legacy_patch16_224", "tresnet_m", "twins_svt_small", "vgg11", "visformer_tiny", "vit_tiny_patch16_dinov3_qkvb", "vit_tiny_r_s16_p8_224", "vitamin_small_224", "volo_d1_224", "xception41p", "xcit_nano_12_p8_224"]  # fmt: skip


def subjects() -> Iterator[Subject]:
    """A network of each family."""
    import timm

    for name in NAMES:
        size = int(timm.get_pretrained_cfg(name, allow_unregistered=True).input_size[-1])

        def build(name: str = name) -> nn.Module:
            model: Any = timm.create_model(name)
            return model  # type: ignore[no-any-return]

        family = timm.models._registry._model_to_module[name]
        yield Subject("timm", family, name, build, images(size))
