"""Families of timm: the smallest model of each module that holds classifiers.

Images have the size that a model is made for, or 96 pixels where it takes any size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from benchmarks.survey.network import SurveyedNetwork, images

#: of timm 1.0.31, the smallest first; without encoders for other models (SAM, Gemma, Qwen, DeepSeek, MobileNetV5)
_NAMES = (
    "test_convnext test_efficientnet test_vit test_nfnet test_mambaout test_byobnet test_resnet starnet_s050 "
    "test_coatnet test_vit_relpos dla46x_c mobilevit_xxs edgenext_xx_small mobilenetv3_small_050 "
    "ese_vovnet19b_slim_dw repghostnet_050 efficientvit_m0 ghostnet_050 regnetx_002 cspnext_tiny iformer_t "
    "xcit_nano_12_p8_224 cs3darknet_focus_s efficientvit_b0 swiftformer_xs efficientformerv2_s0 pvt_v2_b0 "
    "fasternet_t0 fastvit_t8 lcnetv2_small inception_next_atto rexnet_100 pit_ti_224 hardcorenas_b repvit_m1 "
    "vit_tiny_patch16_dinov3_qkvb coat_tiny convit_tiny deit_tiny_patch16_224 gmlp_ti16_224 hgnetv2_b0 shvit_s1 "
    "vit_tiny_r_s16_p8_224 cpubone_nano efficientvim_m1 crossvit_tiny_240 levit_128s densenet121 halonet_h1 "
    "dpn48b visformer_tiny resnest14d csatv2 resnetv2_18 legacy_seresnet18 poolformerv2_s12 cait_xxs24_224 "
    "skresnet18 gcvit_xxtiny tiny_vit_5m_224 efficientformer_l1 hrnet_w18_small lowformer_b0 nest_tiny "
    "convmixer_768_32 vitamin_small_224 legacy_xception tnt_s_legacy_patch16_224 inception_v3 rdnet_tiny "
    "twins_svt_small mvitv2_tiny res2next50 volo_d1_224 xception41p sequencer2d_s hiera_tiny_224 "
    "swin_tiny_patch4_window7_224 swinv2_cr_tiny_224 swinv2_tiny_window8_256 davit_tiny focalnet_tiny_srf "
    "selecsls42 tresnet_m nextvit_small inception_v4 inception_resnet_v2 pnasnet5large beit_base_patch16_224 "
    "naflexvit_base_patch16_gap nasnetalarge vgg11 "
)
#: of images, in pixels, for models that take any size
_SIDE = 96
#: of images for models that run step by step along each row of patches
_SHORT = {"sequencer2d_s": 56}


def subjects() -> Iterator[SurveyedNetwork]:
    """A network of each family."""
    import timm

    for name in _NAMES.split():
        config: Any = timm.get_pretrained_cfg(name)
        size = int(config.input_size[-1])
        if not config.fixed_input_size:
            size = min(size, _SIDE)
        size = _SHORT.get(name, size)
        more: dict[str, Any] = {"img_size": size} if name in _SHORT else {}

        def build(name: str = name, more: dict[str, Any] = more) -> nn.Module:
            model: Any = timm.create_model(name, **more)
            return model  # type: ignore[no-any-return]

        family = timm.models._registry._model_to_module[name]
        yield SurveyedNetwork("timm", family, name, build, images(size))
